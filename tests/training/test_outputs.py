import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from training.errors import DataError
from training.outputs import can_be_read_again, check_file, check_folder, write_file


def test_a_folder_or_a_file_in_no_folder_is_refused_before_the_work(tmp_path: Path):
    check_file(tmp_path / "new.png", "--out")
    for path in (tmp_path, tmp_path / "missing" / "new.png"):
        with pytest.raises(DataError, match="give --out a file in a folder that exists"):
            check_file(path, "--out")


def test_what_a_link_names_is_replaced(tmp_path: Path):
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.touch()
    link.symlink_to(real)
    check_file(link, "--out")
    write_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    check_file(pipe, "--out")
    write_file(pipe, b"new")
    reader.join(10)
    assert got == [b"new"]
    assert pipe.is_fifo()
    assert not can_be_read_again(pipe)


def test_a_socket_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(DataError, match="neither a file nor a pipe: give --out another"):
            check_file(Path("socket"), "--out")


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_that_cannot_be_replaced_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    """As where it is mounted by itself, or its folder is somebody else's."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "figures.json"
    path.write_bytes(b"of before, and longer")
    monkeypatch.setattr(Path, "replace", refused)
    write_file(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [
        ("figures.json", b"new")
    ]


def test_a_name_is_not_too_long_for_what_is_written_beside_it(tmp_path: Path):
    path = tmp_path / ("x" * 250)
    check_file(path, "--out")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_is_made_or_refused_before_the_work(tmp_path: Path):
    check_folder(tmp_path / "new" / "folder", "--pictures")
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be made .* give --pictures another folder"):
        check_folder(tmp_path / "file", "--pictures")
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(DataError, match=r"\(no permission\): give --pictures another folder"):
        check_folder(locked, "--pictures")


def test_a_place_without_permission_is_refused_before_the_work(tmp_path: Path):
    locked, kept = tmp_path / "locked", tmp_path / "kept.png"
    locked.mkdir()
    kept.touch()
    locked.chmod(0o555)
    kept.chmod(0o444)
    if os.access(kept, os.W_OK):
        pytest.skip("root may write every file")
    for path in (locked / "new.png", kept):
        with pytest.raises(DataError, match=r"\(no permission\): give --out a file in another"):
            check_file(path, "--out")


@pytest.mark.parametrize(("advice", "ending"), [("name another", "; name another"), ("", "")])
def test_what_the_system_does_not_write_is_said_by_name_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, advice: str, ending: str
):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "new.png"
    write_file(path, b"written", advice)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError) as raised:
        write_file(path, b"new", advice)
    assert str(raised.value) == f"{path} cannot be written (No space left on device){ending}"
    assert path.read_bytes() == b"written"
