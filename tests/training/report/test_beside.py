"""What lies beside a checkpoint, spoilt by hand."""

import os
from dataclasses import fields

import pytest

from training.history import Row
from training.report.beside import read_beside

HEADER = ",".join(field.name for field in fields(Row)) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("history.csv", f"{HEADER}1{'0' * 400}{',1' * 15}\n", "step is larger than any"),
        ("history.csv", f"{HEADER}1{',1' * 15}\n2{',1e308' * 15}\n", "epoch is larger than any"),
        ("history.csv", f"{HEADER}1{',-1e308' * 15}\n", "epoch is larger than any"),
        ("start.json", "[" * 100_000, "nested too deep"),
        ("warnings.json", "[" * 100_000, ""),
    ],
)
def test_what_no_training_wrote_is_a_note(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content, encoding="utf-8")
    (problem,) = read_beside(tmp_path, {}).problems
    assert problem.startswith(f"{name} beside the checkpoint cannot be read: {reason}")


def test_a_training_that_derailed_has_its_history(tmp_path):
    (tmp_path / "history.csv").write_text(f"{HEADER}1{',inf' * 15}\n2{',nan' * 15}\n", "utf-8")
    found = read_beside(tmp_path, {})
    assert not found.problems
    assert [row.step for row in found.history] == [1, 2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs mkfifo")
def test_nobody_waits_for_pipes(tmp_path):
    for name in ("card.md", "split.json", "history.csv", "warnings.json"):
        os.mkfifo(tmp_path / name)
    problems = read_beside(tmp_path, {}).problems
    assert len(problems) == 4
    assert all("it is a pipe or a device" in problem for problem in problems)
    (tmp_path / "warnings.json").unlink()
    assert len(read_beside(tmp_path, {}).problems) == 3
