"""How a front-end is asked that is there and answers nobody."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from app.processes.asking import ask


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    make: Callable[[], asyncio.AbstractEventLoop] = request.param
    with asyncio.Runner(loop_factory=make) as made:
        yield made


@contextlib.contextmanager
def full(path: Path) -> Iterator[socket.socket]:
    """A socket of which nobody takes connections, and which has no room for more of them."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        yield listener


def test_one_whom_so_many_have_asked_that_no_more_can_has_not_answered(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    with full(tmp_path / "socket"), pytest.raises(TimeoutError):
        runner.run(ask(tmp_path / "socket", "hindrance", 0.2))


def test_one_that_comes_round_to_it_in_time_has_answered(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            question = (await reader.readline()).decode().strip()
            writer.write(f"OK {len(question)}\n{question}".encode())

    async def run(listener: socket.socket) -> None:
        asking = asyncio.create_task(ask(tmp_path / "socket", "hindrance", 20))
        await asyncio.sleep(0.2)
        assert not asking.done()
        server = await asyncio.start_unix_server(answer, sock=listener)
        assert await asking == ("OK", "hindrance")
        server.close()

    with full(tmp_path / "socket") as listener:
        listener.setblocking(False)
        runner.run(run(listener))


def test_one_that_is_not_there_is_no_silent_one(tmp_path: Path, runner: asyncio.Runner) -> None:
    with pytest.raises(FileNotFoundError):
        runner.run(ask(tmp_path / "socket", "hindrance", 20))
    with full(tmp_path / "socket"):
        pass
    with pytest.raises(ConnectionRefusedError):
        runner.run(ask(tmp_path / "socket", "hindrance", 20))
