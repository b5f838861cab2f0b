from pathlib import Path

import pytest

from model_store.errors import CheckpointDamaged, StoreError
from model_store.index import StoreIndex, read_index, write_index


def test_what_was_written_is_read_and_nothing_where_nothing_was(tmp_path: Path):
    assert read_index(tmp_path) == StoreIndex(default=None, aliases={})
    assert read_index(tmp_path / "not there yet") == StoreIndex()
    index = StoreIndex(default="good", aliases={"live": "good"})
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.json"]


@pytest.mark.parametrize("content", ["{", '{"default": "../etc"}', '{"aliases": {"A": "b"}}'])
def test_a_damaged_index_is_refused_by_name(tmp_path: Path, content: str):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(CheckpointDamaged, match=r"store\.json cannot be read"):
        read_index(tmp_path)


def test_an_index_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"cannot write .*store\.json: No such file"):
        write_index(tmp_path / "missing", StoreIndex())
