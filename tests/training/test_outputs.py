import errno
import os
from pathlib import Path

import pytest

from training.errors import DataError
from training.outputs import check_file, write_file


def test_a_folder_or_a_file_in_no_folder_is_refused_before_the_work(tmp_path: Path):
    check_file(tmp_path / "new.png", "--out")
    for path in (tmp_path, tmp_path / "missing" / "new.png"):
        with pytest.raises(DataError, match="give --out a file in a folder that exists"):
            check_file(path, "--out")


def test_a_device_is_refused_and_what_a_link_names_is_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        with pytest.raises(DataError, match="no regular file: give --out another"):
            check_file(path, "--out")
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.touch()
    link.symlink_to(real)
    check_file(link, "--out")
    write_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


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
