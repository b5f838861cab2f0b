"""What every command answers to a path of which the system will not even say whether it is there.

Elsewhere it is a right that is missing; a name that is too long is refused to root as well.
"""

from pathlib import Path

import pytest

from tests.training.trees import grown, pngs
from training.cli import main

LONG = "x" * 300


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(grown(tmp_path / "data", pngs(["a/1.png", "b/1.png"])))


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["fit", "--data", LONG, "--name", "m"], "check the path given as data"),
        (["fit", "--data", "DATA", "--recipe", LONG, "--name", "m"], "the path of a YAML file"),
        (["cross-validate", "--data", "DATA", "--json", LONG], "give --json another file"),
        (["copies", "--data", "DATA", "--out", LONG], "check this path"),
    ],
)
def test_a_path_that_cannot_be_looked_at_is_named_and_no_traceback(data, words, advice, capsys):
    assert main([data if word == "DATA" else word for word in words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert LONG in said
    assert advice in said


def test_want_of_memory_is_told_with_what_the_command_can_do(monkeypatch, capsys):
    def lacking(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("training.commands.report.run", lacking)
    assert main(["report", "m"]) == 1
    assert capsys.readouterr().err == "error: there is not enough memory; free some\n"
