"""`python -m model_store`."""

import shutil
from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.__main__ import main
from model_store.shipped import SHIPPED
from tests import tiny


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    shutil.copytree(SHIPPED / "glyphs", root / "glyphs")
    return root


def test_an_empty_store_is_said_to_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(tmp_path / "absent"), "list"]) == 0
    said = capsys.readouterr().err
    assert f"import one (python -m model_store import photos --store {tmp_path / 'absent'})" in said


def test_the_store_may_be_named_before_the_command_and_after_it(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(store), "list"]) == 0
    assert main(["list", "--store", str(store)]) == 0
    before, after = capsys.readouterr().out.splitlines()
    assert before == after
    assert before.startswith("glyphs ")


def test_a_store_whose_path_cannot_be_looked_at_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--store", "x" * 300, "import", "photos"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {'x' * 300}/photos: ")
    assert "check this path" in said


def test_a_broken_manifest_hides_no_other_model(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "broken" / "1").mkdir(parents=True)
    (store / "broken" / "1" / "manifest.json").write_text('{"format": ' + "1" * 5000 + "}")
    assert main(["list", "--store", str(store)]) == 0
    broken, glyphs = capsys.readouterr().out.splitlines()
    assert "unusable" in broken
    assert glyphs.startswith("glyphs ")


def test_what_was_done_is_said_and_done(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["default", "glyphs", "--store", str(store)]) == 0
    assert main(["alias", "signs", "glyphs", "--store", str(store)]) == 0
    assert main(["default", "signs", "--store", str(store)]) == 0
    index = ModelStore(store).index()
    assert index.default == "glyphs"
    assert index.aliases == {"signs": "glyphs"}
    written = ModelStore(store).root / "store.json"
    # As deployments write it that have a model under a name of its own.
    written.write_text('{"default": "signs", "aliases": {"signs": "glyphs"}}')
    assert main(["list", "--store", str(store)]) == 0
    default, alias, again, listed = capsys.readouterr().out.splitlines()
    assert "(default)" in listed
    assert alias == "'signs' is now another name of 'glyphs'"
    assert default == again == "'glyphs' answers now where a request names no model"


def test_an_import_that_something_is_in_the_way_of_says_what_answers(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ModelStore(store).save("photos", tiny.network())
    assert main(["import", "photos", "--store", str(store)]) == 0
    version, told = capsys.readouterr().out.splitlines()
    assert version == f"photos version 1: {mine.path}"
    assert "that answers, and stays" in told


def test_an_import_that_takes_over_a_default_that_was_removed_says_so(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "store.json").write_text('{"default": "removed"}')
    assert main(["import", "photos", "--store", str(store)]) == 0
    version, told = capsys.readouterr().out.splitlines()
    assert version.startswith("photos version 1: ")
    assert told.startswith("  it answers now where a request names no model")
    assert ModelStore(store).index().default == "photos"
    assert main(["import", "photos", "--store", str(store)]) == 0
    assert capsys.readouterr().out.splitlines() == [version]


def test_what_was_copied_and_what_was_not_is_said(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    ModelStore(mine).save("photos", tiny.network())
    ModelStore(store).save("photos", tiny.network(seed=1))
    assert main(["copy", str(store), "--store", str(mine)]) == 0
    glyphs, photos = capsys.readouterr().out.splitlines()
    assert glyphs == f"glyphs version 1: {mine / 'glyphs' / '1'}"
    assert photos.startswith("photos: not copied: ")
    # As when a pod starts, which could not if it failed.
    (mine / "store.json").write_text("{")
    assert main(["copy", str(store), "--store", str(mine)]) == 0
    assert capsys.readouterr().out.startswith("store.json: stays as it is: ")


def test_a_store_that_is_no_folder_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for words in (["list"], ["default", "glyphs"], ["import", "photos"], ["copy", str(SHIPPED)]):
        assert main([*words, "--store", str(file)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert str(file) in error
        assert len(error.splitlines()) == 1


def test_every_version_is_listed_with_its_state(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ModelStore(store).set_default("glyphs")
    ModelStore(store).revise("glyphs", 1)
    truncated = ModelStore(store).revise("glyphs", 2).path / "weights.safetensors"
    truncated.write_bytes(truncated.read_bytes()[:-100])
    flipped = store / "glyphs" / "1" / "weights.safetensors"
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    assert main(["list", "--store", str(store)]) == 0
    third, second, first = capsys.readouterr().out.splitlines()
    assert f"3  unusable: {truncated} has " in third
    assert "  2  " in second
    assert "(default)" in second
    assert "unusable" not in first
    assert main(["list", "--check", "--store", str(store)]) == 1
    third, second, first = capsys.readouterr().out.splitlines()
    assert "unusable: " in third
    assert "(default)" in second
    assert f"1  unusable: {flipped} is not the file its manifest describes" in first
    shutil.rmtree(store / "glyphs" / "1")
    shutil.rmtree(store / "glyphs" / "3")
    assert main(["list", "--check", "--store", str(store)]) == 0


def test_a_model_that_cannot_be_listed_is_no_part_of_a_store_that_is_whole(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "loop").symlink_to("loop")
    for words, status in ((["list"], 0), (["list", "--check"], 1)):
        assert main([*words, "--store", str(store)]) == status
        glyphs, loop = capsys.readouterr().out.splitlines()
        assert glyphs.startswith("glyphs ")
        assert loop.split(maxsplit=2)[2].startswith(f"unusable: {store / 'loop'} cannot be read")
    copy = ["copy", str(store), "--store", str(tmp_path / "copy")]
    assert main(copy) == 1
    glyphs, loop = capsys.readouterr().out.splitlines()
    assert glyphs == f"glyphs version 1: {tmp_path / 'copy' / 'glyphs' / '1'}"
    assert loop.startswith(f"loop: not copied: {store / 'loop'} cannot be read")
    (store / "loop").unlink()
    assert main(copy) == 0


def test_a_model_in_a_folder_of_another_name_is_named(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "glyphs").rename(store / "Glyphs.old")
    # As a backup may be called, which is no reason to keep a pod from starting.
    assert main(["list", "--check", "--store", str(store)]) == 0
    said = capsys.readouterr().err
    assert f"{store / 'Glyphs.old'} holds a model and is passed over" in said
    assert f"to have it used, rename it to {store / 'glyphs'}\n" in said
    assert main(["copy", str(store), "--store", str(tmp_path / "copy")]) == 1
    note, error = capsys.readouterr().err.splitlines()
    assert str(store / "Glyphs.old") in note
    assert "holds no model to copy" in error


def test_a_backup_is_not_to_be_renamed_into_the_model_that_it_is_of(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(store / "glyphs", store / "glyphs.bak")
    assert main(["list", "--store", str(store)]) == 0
    said = capsys.readouterr().err
    assert f"move it out of the store if it is a backup of {store / 'glyphs'} (" in said
    assert "; to have it used" not in said
    (store / "glyphs.bak" / "1" / "manifest.json").write_text("{")
    assert main(["list", "--store", str(store)]) == 0
    assert "to have it used, rename it to the name that its" in capsys.readouterr().err
