import asyncio

from app.observability.shared import Shared


def test_it_is_made_once_for_those_who_ask_meanwhile_and_anew_for_those_who_ask_later() -> None:
    made = 0

    async def run() -> None:
        may_end = asyncio.Event()

        async def make() -> int:
            nonlocal made
            made += 1
            await may_end.wait()
            return made

        shared = Shared(make)
        first, *others = (asyncio.create_task(shared.get()) for _ in range(3))
        await asyncio.sleep(0)
        # One who leaves, though it was the first, takes it from nobody.
        first.cancel()
        await asyncio.sleep(0)
        may_end.set()
        assert await asyncio.gather(*others) == [1, 1]
        assert await shared.get() == 2

    asyncio.run(run())


def test_what_fails_fails_for_all_who_asked_and_is_tried_again() -> None:
    outcomes = iter((ValueError("no"), "made"))

    async def make() -> str:
        await asyncio.sleep(0)
        outcome = next(outcomes)
        if isinstance(outcome, ValueError):
            raise outcome
        return outcome

    async def run() -> None:
        shared = Shared(make)
        told = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
        assert [str(each) for each in told] == ["no", "no"]
        assert await shared.get() == "made"

    asyncio.run(run())
