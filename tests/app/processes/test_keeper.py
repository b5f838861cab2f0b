import asyncio
import signal
import subprocess
import sys

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
