"""The steady load of the deployment's check, against a server that behaves as told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.deployment.steady import Sample, SteadyLoad, latency, seconds_raised, windows

REQUEST = b"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


def load_on(answer: Answer, enough: int) -> list[Sample]:
    """What came of the requests from a server that answers so, until it has answered so many."""

    async def run() -> list[Sample]:
        count = 0
        answered = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            try:
                while await reader.readexactly(len(REQUEST)) == REQUEST:
                    count += 1
                    await answer(count, writer)
                    if count == enough:
                        answered.set()
            except (EOFError, OSError):
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, SteadyLoad(port, 200, [REQUEST]) as load:
            await answered.wait()
        return load.samples

    return asyncio.run(asyncio.wait_for(run(), 30))


def test_every_request_that_is_answered_is_counted_as_such():
    async def answer(_, writer):
        writer.write(OK)

    samples = load_on(answer, 10)
    assert len(samples) >= 10
    assert not any(sample.lost for sample in samples)


def test_a_refusal_and_a_connection_that_ends_are_losses():
    async def answer(number, writer):
        if number == 3:
            writer.write(BUSY)
        elif number == 5:
            writer.transport.abort()
        else:
            writer.write(OK)

    samples = load_on(answer, 8)
    assert sorted(sample.status for sample in samples if sample.lost) == [0, 503]


def test_a_connection_that_the_server_ends_between_two_requests_is_no_loss():
    async def answer(_, writer):
        writer.write(OK)
        writer.close()

    assert not any(sample.lost for sample in load_on(answer, 6))


def test_a_stall_does_not_keep_later_requests_from_being_sent():
    release = asyncio.Event()

    async def answer(number, writer):
        if number == 1:
            await release.wait()
        writer.write(OK)
        if number == 6:
            release.set()

    samples = load_on(answer, 6)
    first = min(samples, key=lambda sample: sample.due)
    # It waited for five others, which were due 5 ms after one another.
    assert first.seconds >= 0.02
    assert samples.index(first) >= 1


def test_a_server_that_is_not_there_loses_everything():
    async def run():
        async with SteadyLoad(9, 200, [REQUEST]) as load:
            await asyncio.sleep(0.05)
        return load.samples

    samples = asyncio.run(run())
    assert samples
    assert all(sample.status == 0 for sample in samples)


def at(due: float, seconds: float = 0.1) -> Sample:
    return Sample(due, seconds, 200)


def test_percentiles_are_of_the_ordered_latencies():
    samples = [at(0, seconds / 100) for seconds in (3, 1, 2, 4)]
    assert latency(samples, 0) == 0.01
    assert latency(samples, 0.5) == 0.03
    assert latency(samples, 0.99) == latency(samples, 1) == 0.04
    assert latency([], 0.99) == 0


def test_windows_are_by_when_a_request_was_due():
    samples = [at(10.0), at(10.9, 5), at(11.0), at(12.0)]
    assert [len(window) for window in windows(samples, 10, 12)] == [2, 1]


@pytest.mark.parametrize(
    ("slow", "raised"),
    [((), 0), ((20.5,), 0.5), ((20.5, 21.5), 1.5), ((22.5,), 2.5), ((19.5, 20.5), 0)],
)
def test_the_99th_percentile_counts_as_raised_until_its_last_slow_request(slow, raised):
    samples = [at(10 + n / 10, 1.0 if 10 + n / 10 in slow else 0.1) for n in range(200)]
    assert seconds_raised(samples, event=20, before=10, after=10) == raised
