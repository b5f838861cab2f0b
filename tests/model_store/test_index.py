import threading
from functools import partial
from pathlib import Path

import pytest

from model_store.errors import CheckpointDamaged, StoreError
from model_store.index import StoreIndex, read_index, update_index
from model_store.locks import locked


def test_what_was_written_is_read_and_nothing_where_nothing_was(tmp_path: Path):
    assert read_index(tmp_path) == StoreIndex(default=None, aliases={})
    assert read_index(tmp_path / "not there yet") == StoreIndex()
    index = StoreIndex(default="good", aliases={"live": "good"})
    update_index(tmp_path, lambda _: index)
    assert read_index(tmp_path) == index
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.json"]


@pytest.mark.parametrize("content", ["{", '{"default": "../etc"}', '{"aliases": {"A": "b"}}'])
def test_a_damaged_index_is_refused_by_name(tmp_path: Path, content: str):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(CheckpointDamaged, match=r"store\.json cannot be read"):
        read_index(tmp_path)


def test_what_is_no_file_where_the_index_should_be_is_named(tmp_path: Path):
    (tmp_path / "store.json").mkdir()
    with pytest.raises(CheckpointDamaged, match=r"store\.json cannot be read"):
        read_index(tmp_path)
    (tmp_path / "store.json").rmdir()
    (tmp_path / "store.json").symlink_to("/dev/null")
    with pytest.raises(CheckpointDamaged, match=r"store\.json cannot be read \(.* a pipe or a dev"):
        read_index(tmp_path)
    (tmp_path / "file").write_text("no folder")
    assert read_index(tmp_path / "file") == StoreIndex()


def test_an_index_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"cannot write .*store\.json: No such file"):
        update_index(tmp_path / "missing", lambda index: index)


def test_no_change_is_lost_to_another_made_at_the_same_moment(tmp_path: Path):
    def with_alias(alias: str, index: StoreIndex) -> StoreIndex:
        return index.model_copy(update={"aliases": {**index.aliases, alias: "good"}})

    def add(number: int) -> None:
        for n in range(20):
            update_index(tmp_path, partial(with_alias, f"a{number}-{n}"))

    writers = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_index(tmp_path).aliases) == 80


def test_who_only_reads_does_not_wait(tmp_path: Path):
    update_index(tmp_path, lambda _: StoreIndex(default="good"))
    with locked(tmp_path):
        assert read_index(tmp_path).default == "good"
