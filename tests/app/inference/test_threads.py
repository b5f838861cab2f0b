import asyncio
import threading

import pytest

from app.inference.threads import in_thread


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
