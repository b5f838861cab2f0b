import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.checkpoint import read_manifest
from model_store.errors import StoreError
from model_store.versions import incoming_version, publish_version, versions_in
from tests import tiny
from tests.model_store.test_manifest import example


def test_versions_are_the_numbered_folders_in_their_order(tmp_path: Path):
    for name in ("10", "9", "1", "x", "²", "٣", ".incoming-1-abcd"):
        (tmp_path / name).mkdir()
    assert versions_in(tmp_path) == [1, 9, 10]
    assert versions_in(tmp_path / "missing") == []


def test_what_is_not_published_is_gone(tmp_path: Path):
    parent = tmp_path / "mine"
    with incoming_version(parent) as incoming:
        (incoming / "weights.safetensors").write_bytes(b"half")
        assert versions_in(parent) == []
    assert list(parent.iterdir()) == []


WRITE = """
import sys, time
from pathlib import Path
from model_store.versions import incoming_version
with incoming_version(Path(sys.argv[1])) as incoming:
    (incoming / "weights.safetensors").write_bytes(b"half")
    print("wrote", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_left_goes_with_the_next_one_and_no_sooner(tmp_path: Path):
    parent = tmp_path / "mine"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(parent)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "wrote\n"
        (half,) = parent.iterdir()
        with incoming_version(parent) as incoming, incoming_version(parent):
            assert half.is_dir(), "its writer is still at work"
            assert incoming.is_dir()
        writer.kill()
    assert half.is_dir()
    with incoming_version(parent) as incoming:
        assert list(parent.iterdir()) == [incoming]


def test_savers_at_the_same_moment_get_versions_of_their_own(tmp_path: Path):
    store = ModelStore(tmp_path)
    network = tiny.network()
    savers = [threading.Thread(target=store.save, args=("mine", network)) for _ in range(8)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert store.versions("mine") == list(range(1, 9))
    for version in store.versions("mine"):
        assert store.load("mine", version).manifest.version == version


def publish(
    parent: Path,
    made: str,
    *,
    after: int | None = None,
    ready: Callable[[], object] = lambda: None,
) -> bool:
    """Whether a version that says how it was made could be added, from when all else is ready."""
    with incoming_version(parent) as incoming:
        ready()
        try:
            publish_version(
                incoming, example().model_copy(update={"description": made}), after=after
            )
        except StoreError as error:
            assert "do it again for version" in str(error)
            return False
    return True


def answers(parent: Path) -> str:
    """How the newest version was made."""
    return read_manifest(parent / str(versions_in(parent)[-1])).description


def unlockable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every file system one without locks, as some network file systems are."""
    fcntl = pytest.importorskip("fcntl")

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("after", [1, None], ids=["two revisions", "a save beside a revision"])
@pytest.mark.parametrize("locks", [True, False])
def test_of_two_processes_none_puts_a_revision_before_what_it_was_not_made_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool, after: int | None
):
    if not locks:
        unlockable(monkeypatch)
    parents = [tmp_path / str(number) for number in range(12)]
    for parent in parents:
        publish(parent, "first")
    here, other = socket.socketpair()
    for end in (here, other):
        end.settimeout(60)
    child = os.fork()

    def meet() -> None:
        end = here if child else other
        end.send(b".")
        end.recv(1)

    if child == 0:
        try:
            for parent in parents:
                publish(parent, "revised", after=1, ready=meet)
            os._exit(0)
        finally:
            os._exit(1)
    for parent in parents:
        there = publish(parent, "here", after=after, ready=meet)
        assert there or after is not None
    assert os.waitpid(child, 0)[1] == 0
    here.close()
    other.close()
    if after is None:
        assert {answers(parent) for parent in parents} == {"here"}
    else:
        assert [versions_in(parent) for parent in parents] == [[1, 2]] * len(parents)


@pytest.mark.parametrize("step", ["read_bytes", "iterdir", "open", "rename"])
@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("after", [1, None], ids=["a revision", "a save"])
def test_whenever_another_version_comes_where_there_are_no_locks_a_revision_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str, after: int | None
):
    unlockable(monkeypatch)
    publish(tmp_path, "first")
    real, came = getattr(Path, step), []

    def come() -> None:
        if not came:
            came.append(True)
            came.append(publish(tmp_path, "other", after=after))

    def stepped(path: Path, *arguments, **options):
        if when == "before":
            come()
        try:
            return real(path, *arguments, **options)
        finally:
            come()

    done = publish(
        tmp_path, "revised", after=1, ready=lambda: monkeypatch.setattr(Path, step, stepped)
    )
    monkeypatch.setattr(Path, step, real)
    # It was there before what came behind its last step.
    assert done is ((step, when) == ("rename", "behind"))
    assert came == [True, not done or after is None]
    assert answers(tmp_path) == ("revised" if done and after else "other")
    newest = versions_in(tmp_path)[-1]
    publish(tmp_path, "next")
    assert versions_in(tmp_path) == list(range(1, newest + 2))


def test_a_version_that_cannot_be_recorded_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("model_store.versions.replace_file", full)
    assert publish(tmp_path, "first")
    monkeypatch.undo()
    assert publish(tmp_path, "second")
    assert versions_in(tmp_path) == [1, 2]


def test_a_number_is_not_given_again_once_its_version_was_moved_out(tmp_path: Path):
    store = ModelStore(tmp_path / "store")
    network = tiny.network()
    assert [store.save("mine", network).version for _ in range(2)] == [1, 2]
    (store.root / "mine" / "2").rename(tmp_path / "moved out")
    assert store.revise("mine", 1).version == 3
    for version in (1, 3):
        shutil.rmtree(store.root / "mine" / str(version))
    assert store.models() == []
    assert store.save("mine", network).version == 4
    assert store.load("mine").manifest.version == 4


@pytest.mark.parametrize("content", [None, "no number", "1"])
def test_where_the_highest_number_is_not_known_or_too_low_the_newest_version_counts(
    tmp_path: Path, content: str | None
):
    """As in a store of an earlier release, or one to which a version was copied."""
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    store.save("mine", tiny.network())
    (tmp_path / "mine" / ".highest").unlink()
    if content is not None:
        (tmp_path / "mine" / ".highest").write_text(content)
    assert store.save("mine", tiny.network()).version == 3


def test_a_half_written_version_is_not_a_version(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    (tmp_path / "mine" / ".incoming-1-abcd").mkdir()
    (tmp_path / "other" / ".incoming-1-abcd").mkdir(parents=True)
    assert [reference.name for reference in store.models()] == ["mine"]
    assert store.versions("mine") == [1]
