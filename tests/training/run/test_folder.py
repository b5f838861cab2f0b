"""The folder of a run."""

import errno
from contextlib import suppress
from pathlib import Path

import pytest

from model_store.files import replace_file
from training.run.folder import Run


def test_what_a_killed_process_left_in_it_is_removed(tmp_path, monkeypatch):
    run = Run(tmp_path, "m")
    with run.locked():
        run.write_state(b"one")
    with monkeypatch.context() as killed:
        # As after a kill, nothing that is tidied up comes to be.
        killed.setattr("pathlib.Path.replace", _killed)
        killed.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        for name in ("state.pt", "history.csv"):
            with suppress(KeyboardInterrupt):
                replace_file(run.path / name, b"two")
    assert len(list(run.path.iterdir())) == 4
    with run.locked():
        assert sorted(path.name for path in run.path.iterdir()) == ["lock", "state.pt"]
        assert run.state.read_bytes() == b"one"


def test_where_there_are_no_locks_a_second_process_leaves_what_the_first_is_writing(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def come(_: Path) -> None:
        with Run(tmp_path, "m").locked():
            pass

    monkeypatch.setattr(fcntl, "flock", refused)
    run = Run(tmp_path, "m")
    with run.locked():
        replace_file(run.state, b"one", prepare=come)
        assert run.state.read_bytes() == b"one"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
