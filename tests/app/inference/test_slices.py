"""Threads that compute are told to the system's scheduler; the event loop is not."""

import os
import sys
import threading
from collections.abc import Callable
from queue import Queue

import numpy as np
import pytest

from app.inference.batcher import Batcher
from app.inference.decode import Decoder
from app.inference.slices import compute_in_long_slices, starting_threads_that_compute
from app.observability.metrics import Metrics
from model_store.network import Side
from model_store.preprocessing import Preprocessing
from tests.app.inference.batching import submit, with_batcher
from tests.app.material import MeanEngine, grey, lane

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER,
    reason="needs Linux, which alone has SCHED_BATCH, and a process of its usual policy",
)


def _policy(within: Callable[[], None] = lambda: None) -> int:
    """The policy of a new thread after it has done something."""
    found: Queue[int] = Queue()

    def run() -> None:
        within()
        found.put(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found.get_nowait()


def test_a_thread_marks_itself_and_what_it_starts() -> None:
    children: list[int] = []

    def parent() -> None:
        compute_in_long_slices()
        children.append(_policy())

    assert _policy(parent) == os.SCHED_BATCH
    assert children == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_block_marks_what_is_started_in_it_alone() -> None:
    with starting_threads_that_compute():
        assert _policy() == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert _policy() == os.SCHED_OTHER


def test_a_policy_that_somebody_chose_stays() -> None:
    def chosen() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        compute_in_long_slices()

    assert _policy(chosen) == os.SCHED_IDLE


def test_what_the_system_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    compute_in_long_slices()
    with starting_threads_that_compute():
        assert _policy() == os.SCHED_OTHER


def test_decoders_and_the_device_compute_and_the_event_loop_does_not() -> None:
    found: Queue[int] = Queue()

    class Watched(MeanEngine):
        def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
            found.put(os.sched_getscheduler(0))
            return super().features(batch, side)

    async def scenario(batcher: Batcher) -> None:
        await submit(batcher, lane(Watched()), grey(1))
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

    with_batcher(scenario)
    assert found.get_nowait() == os.SCHED_BATCH
    decoder = Decoder(threads=1, max_pixels=1, metrics=Metrics())
    spec = Preprocessing(height=8, width=8, mode="L", mean=(0.0,), std=(1.0,))

    def take(_: object) -> None:
        found.put(os.sched_getscheduler(0))

    decoder.start(b"", spec, done=take, failed=take)
    assert found.get(timeout=30) == os.SCHED_BATCH
    decoder.close()
