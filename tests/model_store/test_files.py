"""Files are whole or not there, whatever comes between."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import pytest

from model_store.files import (
    NoSuchData,
    make_folder,
    read_data,
    replace_file,
    sha256_of,
    write_durably,
)


def test_a_digest_is_of_all_bytes_of_a_large_file_too(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    # FIPS 180-2, appendices B.1 and B.3.
    assert sha256_of(file).startswith("ba7816bf8f01cfea")
    file.write_bytes(b"a" * 1_000_000)
    assert sha256_of(file).startswith("cdc76e5c9914fb92")
    file.write_bytes(b"a" * (1 << 20) + b"b")
    with_b = sha256_of(file)
    file.write_bytes(b"a" * (1 << 20) + b"c")
    assert sha256_of(file) != with_b


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path):
    write_durably(tmp_path / "file", b"old")
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path):
    (tmp_path / "real").mkdir()
    file, link = tmp_path / "real" / "file", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to(file)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert sorted(tmp_path.rglob("*")) == sorted([link, file, file.parent])


def test_who_has_the_old_file_open_reads_it_to_its_end(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"the old one")
    with file.open("rb", buffering=0) as reader:
        assert reader.read(4) == b"the "
        replace_file(file, b"the new one")
        assert reader.read() == b"old one"
    assert file.read_bytes() == b"the new one"


def test_what_fails_before_the_end_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"old")

    def fails(incoming: Path) -> None:
        assert incoming.read_bytes() == b"new"
        assert incoming.parent == tmp_path
        raise OSError("no such owner")

    with pytest.raises(OSError, match="no such owner"):
        replace_file(file, b"new", fails)
    assert [(entry, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(file, b"old")]


def test_the_disk_has_the_new_bytes_before_their_name_and_the_name_before_all_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    real, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(status.st_mode) else status.st_size
        seen.append((what, file.read_bytes()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(file, b"newer")
    assert seen == [(5, b"old"), ("folder", b"newer")]


def test_of_new_folders_each_ones_parent_is_synced(tmp_path: Path, monkeypatch):
    real, synced = os.fsync, set()

    def fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    make_folder(tmp_path / "a" / "b")
    assert {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino} <= synced
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert not synced


@pytest.mark.parametrize(("number", "passed_over"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_sync_folders_is_written_to_all_the_same(
    number: int, passed_over: bool, tmp_path: Path, monkeypatch
):
    sync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    with contextlib.nullcontext() if passed_over else pytest.raises(OSError, match="error"):
        replace_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_is_read_is_a_file_of_a_size_that_it_may_have(tmp_path: Path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12\r\n")
    link.symlink_to(file)
    assert read_data(link, 4) == read_data(file) == b"12\r\n"
    with pytest.raises(NoSuchData, match="it has 4 bytes, and 3 at most are expected"):
        read_data(file, 3)
    with pytest.raises(IsADirectoryError):
        read_data(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_data(tmp_path / "missing")
    with pytest.raises(NoSuchData, match="a pipe or a device"):
        read_data(Path("/dev/null"))


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NoSuchData, match="a pipe or a device"):
        read_data(tmp_path / "pipe")
