import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.versions import incoming_version, versions_in
from tests import tiny


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
