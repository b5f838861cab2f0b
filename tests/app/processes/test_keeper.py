import asyncio
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.processes.keeper import Child, Patience

HASTY = Patience(settled_seconds=10, shortest=0.001, longest=0.001)


def test_what_dies_young_is_started_later_each_time() -> None:
    patience = Patience(settled_seconds=10, shortest=0.5, longest=3)
    delays, delay = [], 0.0
    for _ in range(5):
        delay = patience.delay(lived=1.0, before=delay)
        delays.append(delay)
    assert delays == [0.5, 1, 2, 3, 3]
    assert patience.delay(lived=10.0, before=delay) == 0


def child(*command: str) -> Child:
    return Child("child", command, subprocess.DEVNULL, {}, patience=HASTY)


def test_what_cannot_be_started_is_tried_again_until_it_is_told_to_stop() -> None:
    async def run() -> None:
        absent = child("/nowhere/python")
        keeping = asyncio.create_task(absent.keep())
        async with asyncio.timeout(30):
            while absent.starts < 3 and not keeping.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert not keeping.done()
        absent.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 30)

    asyncio.run(run())


def test_what_is_told_to_stop_while_it_is_started_ends() -> None:
    async def run() -> None:
        idle = child(sys.executable, "-c", "import time; time.sleep(60)")
        keeping = asyncio.create_task(idle.keep())
        await asyncio.sleep(0)
        assert idle.starts == 1
        idle.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 30)
        assert idle.starts == 1

    asyncio.run(run())


NEVER_SETTLED = Patience(settled_seconds=3600, shortest=0.001, longest=3600)
FAILS = ("/bin/sh", "-c", "exit 3")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (another process brings it about)
            await asyncio.sleep(0.001)


def delays(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Seconds until the next start, as told each time that the child had ended."""
    found = (
        re.search(r"status 3\); it is started again in (.*) s", each) for each in caplog.messages
    )
    return [float(each[1]) for each in found if each]


def test_what_was_replaced_is_waited_for_and_told_of_the_next_time_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def run() -> None:
        told: list[int] = []
        idle = child("/bin/sh", "-c", "exec sleep 60")
        idle.ended = told.append
        keeping = asyncio.create_task(idle.keep())
        for starts in (1, 2, 3):
            await until(lambda starts=starts: caplog.messages.count("child started") == starts)
            assert told == [-signal.SIGKILL] * (starts - 2)
            assert sum("has ended (SIGKILL)" in each for each in caplog.messages) == len(told)
            if starts == 1:
                idle.replace()
            elif starts == 2:
                idle.kill()
        idle.stop(signal.SIGKILL)
        await asyncio.wait_for(keeping, 30)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("settled_seconds", "waited"), [(3600, [0.001, 0.002, 0.004]), (1e-9, [0, 0, 0])]
)
def test_the_delay_goes_by_how_long_it_lived(
    caplog: pytest.LogCaptureFixture, settled_seconds: float, waited: list[float]
) -> None:
    async def run() -> None:
        failing = child(*FAILS)
        failing.patience = replace(NEVER_SETTLED, settled_seconds=settled_seconds)
        keeping = asyncio.create_task(failing.keep())
        await until(lambda: failing.starts > 3)
        failing.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 30)

    asyncio.run(run())
    assert delays(caplog)[:3] == waited


def test_who_waits_for_the_next_start_stops_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        failing = child(*FAILS)
        failing.patience = replace(NEVER_SETTLED, shortest=3600)
        keeping = asyncio.create_task(failing.keep())
        await until(lambda: delays(caplog) == [3600])
        failing.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 30)
        assert failing.starts == 1

    asyncio.run(run())


def test_what_has_ended_already_is_not_replaced() -> None:
    async def run() -> None:
        told: list[int] = []

        def ended(status: int) -> None:
            told.append(status)
            failing.replace()

        failing = child(*FAILS)
        failing.ended = ended
        keeping = asyncio.create_task(failing.keep())
        await until(lambda: failing.starts > 3)
        failing.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 30)
        assert told[:3] == [3, 3, 3]

    asyncio.run(run())
