"""`python -m model_store`."""

import shutil
from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.__main__ import main
from model_store.store import SHIPPED


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    shutil.copytree(SHIPPED / "glyphs", root / "glyphs")
    return root


def test_an_empty_store_is_said_to_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(tmp_path / "absent"), "list"]) == 0
    assert "holds no model; import one" in capsys.readouterr().err


def test_the_store_may_be_named_before_the_command_and_after_it(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(store), "list"]) == 0
    assert main(["list", "--store", str(store)]) == 0
    before, after = capsys.readouterr().out.splitlines()
    assert before == after
    assert before.startswith("glyphs ")


def test_what_was_done_is_said_and_done(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["default", "glyphs", "--store", str(store)]) == 0
    assert main(["alias", "signs", "glyphs", "--store", str(store)]) == 0
    index = ModelStore(store).index()
    assert index.default == "glyphs"
    assert index.aliases == {"signs": "glyphs"}
    assert "'signs' is now another name of 'glyphs'" in capsys.readouterr().out


def test_a_store_that_is_no_folder_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for words in (["list"], ["default", "glyphs"], ["import", "photos"]):
        assert main([*words, "--store", str(file)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert str(file) in error
        assert len(error.splitlines()) == 1
