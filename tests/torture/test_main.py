from pathlib import Path

import pytest

from torture import __main__ as module
from torture.outcome import Outcome
from torture.scale import Scale


def fine(scale: Scale, folder: Path) -> Outcome:
    outcome = Outcome("A trial that comes through")
    outcome.add("figure", 1, "1", met=True)
    return outcome


def fails(scale: Scale, folder: Path) -> Outcome:
    raise RuntimeError("the service did not come up")


def test_a_trial_that_fails_leaves_the_report_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TRIALS", {"fine": fine, "fails": fails})
    monkeypatch.setattr(module, "_fill", lambda _: None)
    monkeypatch.setattr("sys.argv", ["torture", "--report", str(tmp_path / "torture.md")])
    with pytest.raises(RuntimeError, match="did not come up"):
        module.main()
    report = (tmp_path / "torture.md").read_text()
    assert "## A trial that comes through" in report
    assert "| figure | 1 | 1 | yes |" in report
