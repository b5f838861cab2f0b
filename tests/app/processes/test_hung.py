"""Which front-end is killed for silence: the one that was asked."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from app.processes import hung
from app.processes.keeper import Child


def test_one_that_has_taken_the_place_of_who_was_asked_is_not_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Child("child", (), subprocess.DEVNULL, {}, starts=1)
    asked: list[int] = []
    killed_after: list[int] = []

    async def silent(socket: Path, question: str, seconds: float) -> tuple[str, str]:
        asked.append(child.starts)
        child.starts = 2
        raise TimeoutError

    async def run() -> None:
        watching = asyncio.create_task(hung.end_if_hung(child, Path("socket"), 5.0))
        async with asyncio.timeout(30):
            while not killed_after:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        watching.cancel()

    monkeypatch.setattr(hung, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(hung, "ask", silent)
    monkeypatch.setattr(Child, "kill", lambda _: killed_after.append(len(asked)))
    asyncio.run(run())
    # Who has come in its place has not answered either.
    assert asked[:2] == [1, 2]
    assert killed_after[0] == 2
