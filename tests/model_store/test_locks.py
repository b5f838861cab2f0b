import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_store.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from model_store.locks import locked
with locked(Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(600)
"""


def test_a_lock_is_free_once_its_holder_was_killed(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            pass
        holder.kill()
    with locked(tmp_path, wait=False) as held:
        assert held


def test_threads_take_turns_too(tmp_path: Path):
    file = tmp_path / "count"
    file.write_text("0")

    def count() -> None:
        for _ in range(50):
            with locked(tmp_path):
                file.write_text(str(int(file.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() == "400"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_that_there_are_no_locks_is_no_error(tmp_path: Path, monkeypatch, number: int):
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    for wait in (True, False):
        with locked(tmp_path, wait=wait) as held:
            assert not held


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_lock_that_another_has_is_told_from_none(tmp_path: Path, monkeypatch, number: int):
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
        pass


def test_a_file_is_open_for_writing_as_network_file_systems_want_it(tmp_path: Path, monkeypatch):
    file = tmp_path / "lock"
    file.touch()
    opened = []

    def flock(descriptor: int, _: int) -> None:
        opened.append(fcntl.fcntl(descriptor, fcntl.F_GETFL))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(file), locked(tmp_path):
        pass
    assert [flags & os.O_ACCMODE for flags in opened] == [os.O_RDWR, os.O_RDONLY]


def refusing(number: int):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock
