import contextlib
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import NoReturn

import pytest

from app.security import command, keys
from app.security.keys import KeyFileError, Keyring, Scope, new_key, read_keys, write_keys
from app.security.limiter import Bucket


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "private" / "keys.json"


def test_a_key_is_found_by_itself_alone(file: Path) -> None:
    key, record = new_key("one")
    other, second = new_key("two", Scope.ADMIN)
    write_keys(file, (record, second))
    ring = Keyring(file)
    assert ring.find(key) == record
    assert ring.find(other) == second
    swapped = key[: len("tl_00000000_")] + other[len("tl_00000000_") :]
    for bad in ("", "x", key[:-1], key + "a", swapped, new_key("three")[0], key.upper(), "é"):
        assert ring.find(bad) is None


def test_a_key_of_which_nothing_is_said_may_only_read(file: Path) -> None:
    _, record = new_key("one")
    content = {"keys": [record.model_dump(mode="json", exclude={"scope"})]}
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    assert record.scope is read_keys(file)[0].scope is Scope.READ


def test_what_is_kept_does_not_give_the_key_away(file: Path) -> None:
    key, record = new_key("one")
    write_keys(file, (record,))
    assert key.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_keys_that_come_and_go_are_noticed_and_a_bad_file_changes_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    old, record = new_key("old")
    write_keys(file, (record,))
    ring = Keyring(file)
    new, second = new_key("new")
    write_keys(file, (record, second))
    assert ring.find(old)
    assert ring.find(new)
    write_keys(file, (second,))
    assert ring.find(old) is None
    for damage in ("{", '{"keys": [1]}', '{"key": []}'):
        file.write_text(damage)
        assert ring.find(new)
        assert ring.stale
    write_keys(file, (second,))
    assert ring.find(new)
    assert not ring.stale
    file.unlink()
    assert ring.find(new)
    assert ring.stale
    os.mkfifo(file)

    def let_go() -> None:
        with contextlib.suppress(BrokenPipeError):
            file.write_text('{"keys": []}')

    # Of whoever does wait for a writer.
    Thread(target=let_go, daemon=True).start()
    assert ring.find(new)
    assert ring.stale


@pytest.mark.parametrize(
    ("content", "told"), [("", "(Invalid JSON: "), ('{"key": []}', "(key: "), ("[]", "(Input ")]
)
def test_what_is_wrong_with_a_file_of_keys_is_told(file: Path, content: str, told: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(KeyFileError) as caught:
        read_keys(file)
    assert f"keys.json is not a file of API keys {told}" in str(caught.value)


def test_who_asks_while_another_thread_reads_the_file_waits_for_what_it_says(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", 0)
    key, record = new_key("one")
    write_keys(file, (record,))
    ring = Keyring(file)
    write_keys(file, ())
    reads, may_end = threading.Event(), threading.Event()

    def slow(path: Path) -> object:
        reads.set()
        assert may_end.wait(20)
        return read_keys(path)

    monkeypatch.setattr(keys, "read_keys", slow)
    with ThreadPoolExecutor(2) as threads:
        stale = threads.submit(lambda: ring.stale)
        assert reads.wait(20)
        monkeypatch.setattr(keys, "_LOOK_SECONDS", 1000)
        found = threads.submit(ring.find, key)
        with pytest.raises(TimeoutError):
            found.result(0.1)
        may_end.set()
        assert found.result(20) is None, "it was revoked before"
        assert not stale.result(20)


def test_a_key_is_good_for_a_second_after_it_was_revoked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(keys, "monotonic", lambda: now)
    key, record = new_key("one")
    write_keys(file, (record,))
    ring = Keyring(file)
    write_keys(file, ())
    now += 1
    assert ring.find(key) == record, "the file is looked at once a second"
    now += 0.01
    assert ring.find(key) is None
    write_keys(file, (record,))
    now += 1
    assert ring.find(key) is None
    now += 0.01
    assert ring.find(key) == record


def test_a_change_is_noticed_by_the_time_or_the_file_though_the_size_is_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    (first, one), (second, two) = new_key("one"), new_key("two")
    write_keys(file, (one,))
    ring = Keyring(file)
    before = file.stat()
    other = file.with_name("other")
    write_keys(other, (two,))
    file.write_bytes(other.read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert file.stat().st_size == before.st_size
    assert file.stat().st_ino == before.st_ino
    assert (ring.find(first), ring.find(second)) == (None, two)
    write_keys(other, (one,))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    other.replace(file)
    assert (ring.find(first), ring.find(second)) == (one, None)


def test_a_file_that_was_away_and_is_back_as_it_was_is_no_longer_missed(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    key, record = new_key("one")
    write_keys(file, (record,))
    ring = Keyring(file)
    for times in (1, 2):
        file.rename(file.with_name("away"))
        assert ring.find(key)
        assert ring.stale
        assert [entry.levelname for entry in caplog.records] == ["ERROR"] * times
        file.with_name("away").rename(file)
        assert ring.find(key)
        assert not ring.stale


def test_what_could_not_be_read_is_tried_again_and_said_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    leaked, record = new_key("leaked")
    other, second = new_key("other")
    write_keys(file, (record, second))
    ring = Keyring(file)
    write_keys(file, (second,))

    def denied(path: Path) -> NoReturn:
        raise KeyFileError("Permission denied")

    # Root, whom tests in a container run as, may read everything.
    with monkeypatch.context() as patch:
        patch.setattr(keys, "read_keys", denied)
        for _ in range(3):
            assert ring.find(leaked)
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]
    # The file is as it was, and can be read again.
    assert ring.find(leaked) is None
    assert ring.find(other)


def test_who_may_read_a_file_of_keys_may_do_so_after_a_change(file: Path) -> None:
    _, record = new_key("one")
    write_keys(file, (record,))
    file.chmod(0o640)
    write_keys(file, ())
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_of_keys_stays_its_owners(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = new_key("one")
    write_keys(file, (record,))
    for user, group in ((os.geteuid(), 10002), (10001, 10002)):
        os.chown(file, user, group)
        write_keys(file, ())
        assert (file.stat().st_uid, file.stat().st_gid) == (user, group)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def denied(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", denied)
    with pytest.raises(KeyFileError, match="user 10001"):
        write_keys(file, (record,))
    assert read_keys(file) == ()
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="key create"):
        Keyring(tmp_path / "absent")
    (tmp_path / "bad").write_text('{"keys": [{"id": "x"}]}')
    with pytest.raises(KeyFileError, match=r"keys\.0\.id"):
        Keyring(tmp_path / "bad")
    _, record = new_key("one")
    limitless = record.model_dump(mode="json") | {"images_per_second": -1}
    (tmp_path / "bad").write_text(json.dumps({"keys": [limitless]}))
    with pytest.raises(KeyFileError, match=r"keys\.0\.images_per_second"):
        read_keys(tmp_path / "bad")
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_keys(tmp_path / "bad" / "keys.json", ())


@pytest.mark.parametrize(
    "words",
    [
        ["shop", "--images-per-second", "-3"],
        ["shop", "--images-per-second", "nan"],
        ["shop", "--images-per-second", "inf"],
        ["shop", "--images-per-second", "many"],
        [""],
        ["x" * 101],
        ["caf\udce9"],  # As Python has an argument in Latin-1.
    ],
)
def test_a_key_that_cannot_be_is_refused_and_not_made(
    file: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["create", *words, "--file", str(file)])
    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err
    assert not file.exists()


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--file", str(file)]
    assert command.main(["create", "shop", *where]) == 0
    first = capsys.readouterr().out.strip()
    arguments = ["create", "boss", "--scope", "admin", "--images-per-second", "5"]
    assert command.main([*arguments, *where]) == 0
    capsys.readouterr()
    ring = Keyring(file)
    found = ring.find(first)
    assert found is not None
    assert (found.name, found.scope) == ("shop", Scope.READ)
    assert [record.images_per_second for record in read_keys(file)] == [None, 5]
    assert command.main(["list", *where]) == 0
    shown = capsys.readouterr().out
    assert "shop" in shown
    assert "boss" in shown
    assert found.sha256 not in shown
    assert command.main(["revoke", found.id, *where]) == 0
    assert [record.name for record in read_keys(file)] == ["boss"]
    assert command.main(["revoke", "00000000", *where]) == 2
    assert "holds no key" in capsys.readouterr().err


def test_the_file_may_be_named_by_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWINLENS_API_KEYS", str(file))
    assert command.main(["create", "shop"]) == 0
    assert Keyring(file).find(capsys.readouterr().out.strip())
    monkeypatch.setenv("TWINLENS_API_KEYS", "")
    with pytest.raises(SystemExit):
        command.main(["list"])
    assert "TWINLENS_API_KEYS=FILE" in capsys.readouterr().err


def test_keys_that_are_made_and_revoked_at_once_are_all_kept_and_gone(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--file", str(file)]
    old = [new_key(f"old {number}")[1] for number in range(12)]
    write_keys(file, tuple(old))
    with ThreadPoolExecutor(12) as pool:
        made = [pool.submit(command.main, ["create", f"new {n}", *where]) for n in range(12)]
        gone = [pool.submit(command.main, ["revoke", record.id, *where]) for record in old]
        assert {done.result() for done in (*made, *gone)} == {0}
    assert sorted(record.name for record in read_keys(file)) == sorted(
        f"new {number}" for number in range(12)
    )
    ring = Keyring(file)
    assert all(ring.find(key) for key in capsys.readouterr().out.split())
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_a_folder_that_is_none_is_said_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "absent" / "keys.json"
    assert command.main(["revoke", "00000000", "--file", str(absent)]) == 2
    assert str(absent.parent) in capsys.readouterr().err
    assert not absent.parent.exists()


def test_a_folder_that_cannot_be_locked_is_said_and_nothing_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keys(file, (new_key("one")[1],))
    before = file.read_bytes()
    # As on a network file system without locks.
    monkeypatch.setattr(keys, "locked", lambda _: contextlib.nullcontext(enter_result=False))
    with pytest.raises(KeyFileError, match="cannot be locked"):
        keys.add_key(file, new_key("late")[1])
    assert file.read_bytes() == before


def test_a_bucket_counts_images_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.security.limiter.monotonic", lambda: now)
    bucket = Bucket(2)
    for _ in range(20):  # Ten seconds' worth are saved up.
        assert bucket.enter() == 0
    assert bucket.enter() == 1
    now += 0.5
    assert bucket.enter() == 0
    bucket.charge(9)
    # Nine in debt, and one more to enter: five seconds at two a second.
    assert bucket.enter() == 5
    now += 4.9
    assert bucket.enter() == 1
    now += 0.1
    assert bucket.enter() == 0
    now += 1000
    assert sum(bucket.enter() == 0 for _ in range(30)) == 20


@pytest.mark.parametrize(("rate", "saved", "wait"), [(0.3, 3, 4), (0.01, 1, 100)])
def test_a_slow_bucket_holds_an_image_at_least_and_waits_for_a_whole_one(
    rate: float, saved: int, wait: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 / 0.3 is 3.3 seconds: after three there is not yet an image's token."""
    now = 100.0
    monkeypatch.setattr("app.security.limiter.monotonic", lambda: now)
    bucket = Bucket(rate)
    assert [bucket.enter() for _ in range(saved + 1)] == [0] * saved + [wait]
    now += wait
    assert bucket.enter() == 0
