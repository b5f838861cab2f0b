"""What every command answers where it cannot go on.

Of a path the system may not even say whether it is there. Elsewhere it is a right that is missing;
a name that is too long is refused to root as well.
"""

from pathlib import Path

import pytest

from tests.training.trees import grown, pngs
from training.cli import main
from training.errors import Derailed

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


HOSTILE = "x\nerror: all is well\x1b[31m"


@pytest.mark.parametrize(
    "names",
    [
        [f"a/{HOSTILE}/c/{image}.png" for image in "12"],
        [f"a/{HOSTILE}/b/c/1.png", "d/1/2/3/4.png"],
    ],
    ids=["a folder around everything", "of no layout"],
)
def test_names_of_folders_begin_no_line_of_an_error(tmp_path, names, capsys):
    data = grown(tmp_path / "data", pngs(names))
    assert main(["fit", "--data", str(data), "--name", "m", "--store", str(tmp_path / "s")]) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert r"error: all is well\x1b[31m" in said


def test_advice_in_lines_keeps_them(monkeypatch, capsys):
    def derailed(_: object) -> int:
        raise Derailed("it has collapsed:\n  - one way\n", "begin anew", without_a_run="")

    monkeypatch.setattr("training.commands.fit.run", derailed)
    assert main(["fit", "--data", "d", "--name", "m"]) == 1
    assert capsys.readouterr().err == "error: it has collapsed:\n  - one way\nbegin anew\n"


def test_want_of_memory_is_told_with_what_the_command_can_do(monkeypatch, capsys):
    def lacking(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("training.commands.report.run", lacking)
    assert main(["report", "m"]) == 1
    assert capsys.readouterr().err == "error: there is not enough memory; free some\n"
