import asyncio
import contextlib
import gc
import threading
import weakref

import pytest

from app.inference.threads import for_each, in_thread


def test_it_is_done_beside_the_event_loop_and_what_comes_of_it_comes_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def main() -> None:
        assert await in_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(ValueError, match="no"):
            await in_thread(fail)

    asyncio.run(main())


@pytest.mark.parametrize("error", [None, ValueError("too late")], ids=["ends", "raises"])
def test_who_is_cancelled_goes_on_once_the_work_has_ended(error: Exception | None) -> None:
    begun, gate = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert gate.wait(30)
        if error is not None:
            raise error

    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        task = asyncio.create_task(in_thread(work))
        assert await asyncio.to_thread(begun.wait, 30)
        for _ in range(2):
            task.cancel()
            await asyncio.wait([task], timeout=0.02)
            assert not task.done()
        gate.set()
        await asyncio.wait([task], timeout=30)
        assert task.cancelled()

    asyncio.run(main())
    assert not complaints


class _Rows:
    """Stands for megabytes."""


@pytest.mark.parametrize("leaves", [True, False], ids=["cancelled", "failed"])
def test_what_was_worked_on_does_not_wait_for_the_garbage_collector(leaves: bool) -> None:
    begun, gate = threading.Event(), threading.Event()

    def leave(task: "asyncio.Task[None]") -> None:
        assert begun.wait(30)
        task.cancel()

    async def begin(rows: _Rows) -> None:
        def work() -> None:
            begun.set()
            assert gate.wait(30)
            raise ValueError(rows)

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if leaves:
            loop.call_later(0.01, leave, task)
        loop.call_later(0.02, gate.set)
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await in_thread(work)

    async def main() -> None:
        rows = _Rows()
        gone = threading.Event()
        weakref.finalize(rows, gone.set)
        await begin(rows)
        del rows
        # The thread lets go of its last work a moment after the work has ended.
        assert await asyncio.to_thread(gone.wait, 5)

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "here"),
    [
        ([], True),
        ([MEBIBYTE], True),
        ([1000] * 50, True),
        ([MEBIBYTE + 1], False),
        ([MEBIBYTE // 4] * 11, False),
        ([10, 5 * MEBIBYTE, 0, 10], False),
    ],
)
def test_little_is_done_at_once_and_much_beside_the_event_loop(
    sizes: list[int], *, here: bool
) -> None:
    async def main() -> list[tuple[int, bool]]:
        loop = threading.get_ident()
        return await for_each(lambda place: (place, threading.get_ident() == loop), sizes)

    assert asyncio.run(main()) == [(place, here) for place in range(len(sizes))]


def test_of_much_what_was_not_begun_is_not_done_for_who_is_cancelled() -> None:
    begun, gate = threading.Event(), threading.Event()
    places: list[int] = []

    def work(place: int) -> None:
        places.append(place)
        begun.set()
        assert gate.wait(30)

    async def main() -> None:
        task = asyncio.create_task(for_each(work, [MEBIBYTE] * 3))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        gate.set()
        await asyncio.wait([task], timeout=30)
        assert task.cancelled()

    asyncio.run(main())
    assert places == [0]
