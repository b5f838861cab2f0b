"""What is found in a folder of models."""

from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.errors import (
    CheckpointDamaged,
    InvalidName,
    ModelNotFound,
    StoreError,
)
from tests import tiny


def test_a_name_is_a_models_own_before_it_is_an_alias(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("good", tiny.network())
    store.set_alias("live", "good")
    assert [store.resolve(name) for name in ("good", "live", "absent", "../x")] == [
        "good",
        "good",
        "absent",
        "../x",
    ]
    # As one that knew nothing of the alias has left it there.
    (tmp_path / "good").rename(tmp_path / "live")
    assert store.resolve("live") == "live"


def test_folders_that_cannot_be_models_are_passed_over(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    for name in ("Upper", ".runs", "with space", "empty"):
        (tmp_path / name / ("versions" if name == "empty" else "1")).mkdir(parents=True)
    (tmp_path / "a-file").write_text("")
    (tmp_path / "lost+found").symlink_to("lost+found")
    assert [reference.name for reference in store.models()] == ["mine"]
    assert (store.unreadable(), store.misnamed()) == ({}, [])
    for name in ("Upper", ".runs"):
        (tmp_path / name / "1" / "manifest.json").write_text("")
    assert store.misnamed() == ["Upper"]


def test_an_empty_store_is_a_store(tmp_path: Path):
    store = ModelStore(tmp_path / "not there yet")
    assert store.models() == []
    with pytest.raises(ModelNotFound, match="models there: none"):
        store.load("mine")
    with pytest.raises(InvalidName):
        store.load("../etc")


def test_a_folder_in_another_ones_place_is_noticed(tmp_path: Path):
    store = ModelStore(tmp_path)
    reference = store.save("mine", tiny.network())
    reference.path.rename(tmp_path / "mine" / "7")
    for read in (store.load, store.manifest):
        with pytest.raises(CheckpointDamaged, match="holds mine version 1; move the folder"):
            read("mine")


def test_a_folder_that_cannot_be_listed_hides_no_other_model(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    (tmp_path / "loop").symlink_to("loop")
    assert [found.name for found in store.models()] == ["mine"]
    assert store.unreadable().keys() == {"loop"}
    assert store.unreadable()["loop"].startswith(f"{tmp_path / 'loop'} cannot be read")
    with pytest.raises(StoreError, match="loop cannot be read"):
        store.find("loop")


def test_a_file_where_the_store_should_be_says_so(tmp_path: Path):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot write a checkpoint"):
        ModelStore(tmp_path / "store").save("mine", tiny.network())
