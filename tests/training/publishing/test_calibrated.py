"""The classes that `calibrate` was given, beside the model."""

import pytest

from training.errors import DataError
from training.publishing.calibrated import CALIBRATED_FILE, calibrated_json, read_calibrated


def test_names_are_kept_once_each(tmp_path):
    assert read_calibrated(tmp_path) is None
    (tmp_path / CALIBRATED_FILE).write_bytes(calibrated_json(["b", "Ä/<1>", "b"]))
    assert read_calibrated(tmp_path) == {"b", "Ä/<1>"}


def test_a_damaged_file_is_told_of(tmp_path):
    (tmp_path / CALIBRATED_FILE).write_bytes(b'["a", 1')
    with pytest.raises(DataError, match="calibrate the model again"):
        read_calibrated(tmp_path)
