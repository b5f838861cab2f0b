import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import Family

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems have no /proc to tell"
)

# A parent whose child, in a session and so a process group of its own, counts into a file.
COUNTER = (
    "import sys, time\n"
    "n = 0\n"
    "while True:\n"
    "    n += 1\n"
    "    open(sys.argv[1], 'w').write(str(n))\n"
    "    time.sleep(0.01)\n"
)
PARENT = (
    "import subprocess, sys\n"
    "subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], start_new_session=True)\n"
)

# Takes its leave of a frozen child however it is told to end.
FREEZER = (
    "import signal, subprocess, sys\n"
    "from benchmarks.processes import Family, exit_on_signals\n"
    "how = signal.SIG_IGN if sys.argv[1] == 'ignored' else signal.SIG_DFL\n"
    "signal.signal(signal.SIGHUP, how)\n"
    "exit_on_signals()\n"
    "with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE) as child:\n"
    "    Family(child.pid).freeze()\n"
    "    try:\n"
    "        print('frozen', flush=True)\n"
    "        sys.stdin.readline()\n"
    "    finally:\n"
    "        child.kill()\n"
    "        Family(child.pid).thaw()\n"
)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_family_is_frozen_whole_and_goes_on(tmp_path: Path) -> None:
    counted = tmp_path / "count"
    with subprocess.Popen([sys.executable, "-c", PARENT, COUNTER, str(counted)]) as process:
        family = Family(process.pid)
        try:
            wait_for(counted)
            assert len(family.members()) == 2
            assert family.members()[0] == process.pid
            # The kernel counts in hundredths of a second, and Python may have started in fewer.
            until = time.monotonic() + 20
            while family.cpu_seconds() == 0:
                assert time.monotonic() < until
                time.sleep(0.01)
            assert family.resident_bytes() > 2_000_000
            family.freeze()
            time.sleep(0.1)
            frozen = counted.read_text()
            time.sleep(0.1)
            assert counted.read_text() == frozen
            family.thaw()
            until = time.monotonic() + 20
            while counted.read_text() in ("", frozen):
                assert time.monotonic() < until
                time.sleep(0.01)
        finally:
            family.thaw()
            for member in family.members()[1:]:
                subprocess.run(["kill", "-9", str(member)], check=True)
            process.kill()


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    family = Family(process.pid)
    family.freeze()
    family.thaw()
    assert not family.runs
    assert family.handles() == []
    assert family.cpu_seconds() == 0


def test_a_process_that_ended_and_was_not_waited_for_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        family = Family(process.pid)
        assert family.runs
        (handle,) = family.handles()
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        until = time.monotonic() + 20
        while family.runs:
            assert time.monotonic() < until
            time.sleep(0.01)


def freezer(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", FREEZER, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "frozen\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_frozen_does_not_outlive_a_program_that_is_told_to_end(
    number: signal.Signals,
) -> None:
    with freezer("heeded") as process:
        (child,) = Family(process.pid).members()[1:]
        process.send_signal(number)
        assert process.communicate()[1] == f"error: ended by {number.name}\n"
    assert process.returncode == 1
    assert not Family(child).runs


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    with freezer("ignored") as process:
        process.send_signal(signal.SIGHUP)
        assert process.communicate("go on\n")[1] == ""
    assert process.returncode == 0
