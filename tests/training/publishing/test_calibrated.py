"""The classes that `calibrate` was given, beside the model."""

import os

import pytest

from model_store.shipped import SHIPPED_MODELS
from model_store.store import ModelStore
from training.data.split import SPLIT_FILE, Split
from training.errors import DataError
from training.publishing.calibrated import (
    CALIBRATED_FILE,
    calibrated_json,
    is_calibrated_since,
    read_calibrated,
)
from training.publishing.card import calibrated_since
from training.publishing.warned import WARNINGS_FILE, Warned


def test_names_are_kept_once_each(tmp_path):
    assert read_calibrated(tmp_path) is None
    assert not is_calibrated_since(tmp_path)
    (tmp_path / CALIBRATED_FILE).write_bytes(calibrated_json(["b", "Ä/<1>", "b"]))
    assert read_calibrated(tmp_path) == {"b", "Ä/<1>"}
    assert is_calibrated_since(tmp_path)


def test_a_damaged_file_is_told_of(tmp_path):
    (tmp_path / CALIBRATED_FILE).write_bytes(b'["a", 1')
    with pytest.raises(DataError, match="calibrate the model again"):
        read_calibrated(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs mkfifo")
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / CALIBRATED_FILE)
    with pytest.raises(DataError, match="it is a pipe or a device"):
        read_calibrated(tmp_path)


def test_a_card_is_asked_only_where_fit_left_no_data(tmp_path):
    card = calibrated_since(b"# m\n")
    (tmp_path / "card.md").write_bytes(card)
    assert is_calibrated_since(tmp_path)
    assert read_calibrated(tmp_path) == frozenset()
    (tmp_path / WARNINGS_FILE).write_bytes(Warned().to_json())
    assert not is_calibrated_since(tmp_path)
    assert read_calibrated(tmp_path) is None


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_what_calibrated_a_shipped_model_lies_beside_it(name):
    folder = ModelStore().find(name).path
    split = Split.from_json((folder / SPLIT_FILE).read_bytes())
    assert read_calibrated(folder) == set(split.calibration)
    assert (folder / WARNINGS_FILE).is_file()
