"""A parent of small programs, which do what front-ends and the device process do."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.exits import EXIT_USAGE
from app.processes import hung
from app.processes import parent as module
from app.processes.folder import Folder
from app.processes.keeper import Patience
from app.processes.listening import bind, can_share_ports, claim, port_of
from app.processes.parent import Parent, Plan

HASTY = Patience(settled_seconds=3600, shortest=0.01, longest=0.01)
BEGIN = "import os, signal, sys, time, pathlib; here = pathlib.Path(sys.argv[1])\n"
# Writes a line at its start, and ends by SIGTERM as it would by itself.
SERVES = """
def log(words):
    with open(here / "log", "a") as file:
        file.write(f"{words}\\n")
def end(number, frame):
    log(f"{sys.argv[2]} ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
log(f"{sys.argv[2]} {os.getpid()}")
while True:
    time.sleep(0.01)
"""


def program(path: Path, name: str, source: str = SERVES) -> list[str]:
    return [sys.executable, "-S", "-c", BEGIN + source, str(path), name]


def lines(path: Path) -> list[str]:
    log = path / "log"
    return log.read_text().splitlines() if log.exists() else []


def started(path: Path, name: str) -> list[int]:
    """The process ids of that name, in the order of their starts."""
    found = [line.split() for line in lines(path)]
    return [int(words[1]) for words in found if words[0] == name and words[1].isdigit()]


def test_a_signal_that_comes_as_a_process_becomes_the_parent_ends_it(tmp_path: Path) -> None:
    script = """
import os, signal
from app.processes.parent import Plan, become

def execv(*words, real=os.execv):
    os.kill(os.getpid(), signal.SIGTERM)
    real(*words)

os.execv = execv
become(Plan("127.0.0.1", 0, 2, 1.0, 60.0, "info"))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == [], "neither a folder nor what lies in it"


@pytest.mark.skipif(not can_share_ports(), reason="needs Linux")
def test_an_address_that_another_service_is_about_to_listen_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (held,) = bind("127.0.0.1", 0)
    (claimed,) = claim([held])
    port = port_of([held])
    with held, claimed:
        plan = Plan("127.0.0.1", port, 2, 1.0, 60.0, "info")
        assert module._run(plan, Folder(tmp_path)) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot listen on 127.0.0.1, port {port} (Address already in")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (another process brings it about)
            await asyncio.sleep(0.01)


def run(
    path: Path,
    *front_ends: list[str],
    then: Callable[[], Awaitable[None]] | None = None,
    watchdog_seconds: float = 60.0,
) -> int:
    """A parent's exit status; unless it ends by itself, it is sent SIGTERM after `then`."""

    async def both() -> int:
        parent = Parent(
            front_ends=front_ends,
            device=program(path, "device"),
            environment=dict(os.environ),
            folder=Folder(path),
            drain_seconds=0.1,
            watchdog_seconds=watchdog_seconds,
            patience=HASTY,
        )
        running = asyncio.create_task(parent.run())
        try:
            if then is not None:
                await then()
                os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(30):
                return await running
        finally:
            # Nothing is left of a test that fails.
            for child in (*parent._front_ends, parent._device):
                child.stop(signal.SIGKILL)

    return asyncio.run(both())


def test_the_device_ends_after_the_last_front_end(tmp_path: Path) -> None:
    drains = SERVES.replace("    log(f", "    time.sleep(0.1); log(f")

    async def then() -> None:
        await until(lambda: all(started(tmp_path, name) for name in ("one", "two", "device")))

    names = ("one", "two")
    assert run(tmp_path, *(program(tmp_path, name, drains) for name in names), then=then) == 0
    assert lines(tmp_path)[-1] == "device ends"
    assert {"one ends", "two ends"} <= set(lines(tmp_path)[:-1])


def test_whatever_dies_is_replaced_and_the_others_live_on(tmp_path: Path, caplog) -> None:
    async def then() -> None:
        for name in ("one", "device"):
            await until(lambda name=name: len(started(tmp_path, name)) == 1)
            os.kill(started(tmp_path, name)[0], signal.SIGKILL)
            await until(lambda name=name: len(started(tmp_path, name)) == 2)
        await until(lambda: len(started(tmp_path, "two")) == 1)

    assert run(tmp_path, program(tmp_path, "one"), program(tmp_path, "two"), then=then) == 0
    assert [len(started(tmp_path, name)) for name in ("one", "two", "device")] == [2, 1, 2]
    assert "front-end 0 has ended (SIGKILL)" in caplog.text
    assert "device process has ended (SIGKILL)" in caplog.text


# Ends with a status the first time, and serves the next.
ONCE = """
mark = here / sys.argv[2]
if not mark.exists():
    mark.touch()
    sys.exit(STATUS)
"""


def once(status: int) -> str:
    return ONCE.replace("STATUS", str(status)) + SERVES


def break_once(path: Path, devices: int, *, hang: bool = False) -> None:
    """Has a front-end break once, and waits for it and so many devices to have been started."""

    async def then() -> None:
        await until(lambda: bool(started(path, "device")))
        if hang:
            os.kill(started(path, "device")[0], signal.SIGSTOP)
        (path / "go").touch()
        await until(lambda: bool(started(path, "one")))
        await until(lambda: len(started(path, "device")) == devices)

    breaks = "while not (here / 'go').exists(): time.sleep(0.01)\n" + once(70)
    assert run(path, program(path, "one", breaks), then=then) == 0


def test_a_broken_front_end_has_the_device_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAME_FAULT_SECONDS", 0.0)
    # One that hangs as well hears no SIGTERM.
    break_once(tmp_path, devices=2, hang=True)
    assert len(started(tmp_path, "device")) == 2


def test_a_device_that_was_only_just_started_is_left_alone(tmp_path: Path, caplog) -> None:
    """Another front-end has told of the same fault."""
    break_once(tmp_path, devices=1)
    assert "front-end 0 has ended (status 70)" in caplog.text
    assert "the device process is started again" not in caplog.text


def test_a_front_end_that_refuses_its_settings_ends_everything(tmp_path: Path, capsys) -> None:
    refuses = "(here / '1.error').write_text('the key is not there')\nsys.exit(2)"
    commands = program(tmp_path, "one"), program(tmp_path, "two", refuses)
    assert run(tmp_path, *commands) == 2
    assert capsys.readouterr().err.splitlines().count("error: the key is not there") == 1


def test_a_later_refusal_is_logged_and_tried_again(tmp_path: Path, caplog) -> None:
    later = (
        "count = here / 'count'; n = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(n + 1))\n"
        "(here / '0.error').write_text('the key is gone')\n"
        "if n < 2: sys.exit(1 + n)\n"
    )

    async def then() -> None:
        await until(lambda: bool(started(tmp_path, "one")))

    assert run(tmp_path, program(tmp_path, "one", later + SERVES), then=then) == 0
    assert "front-end 0: the key is gone" in caplog.text


def test_who_does_not_end_in_time_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(module, "_CLOSING_SECONDS", 0.0)
    deaf = SERVES.replace("sys.exit(0)", "pass")

    async def then() -> None:
        await until(lambda: bool(started(tmp_path, "one")))

    assert run(tmp_path, program(tmp_path, "one", deaf), then=then) == 1
    assert "front-end 0 does not end and is killed" in caplog.text
    assert "one ends" in lines(tmp_path)


# As a front-end that answers its siblings until it is stopped.
ANSWERS = """
import socket, threading
path = str(here / "0.sock")
pathlib.Path(path).unlink(missing_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def answer():
    while True:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"OK 0\\n")
        connection.close()
threading.Thread(target=answer, daemon=True).start()
"""


def test_a_front_end_that_hangs_is_killed_and_another_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(hung, "_LOOK_SECONDS", 0.02)

    async def then() -> None:
        await until((tmp_path / "0.sock").exists)
        await asyncio.sleep(0.3)
        (first,) = started(tmp_path, "one")
        os.kill(first, signal.SIGSTOP)
        await until(lambda: len(started(tmp_path, "one")) == 2)

    words = program(tmp_path, "one", ANSWERS + SERVES)
    assert run(tmp_path, words, then=then, watchdog_seconds=2.0) == 0
    assert "front-end 0 has not answered for 2 s and is killed" in caplog.text
    assert len(started(tmp_path, "one")) == 2, "the one that answers is left alone"


def test_children_are_no_part_of_the_terminals_group(tmp_path: Path) -> None:
    """Or Ctrl-C would reach them twice, and the device before it is let go."""
    groups = []

    async def then() -> None:
        await until(lambda: all(started(tmp_path, name) for name in ("one", "device")))
        groups.extend(os.getpgid(started(tmp_path, name)[0]) for name in ("one", "device"))

    assert run(tmp_path, program(tmp_path, "one"), then=then) == 0
    assert os.getpgid(0) not in groups
    assert len(groups) == 2
