"""Batches through an engine that fails, on this thread."""

import numpy as np
import pytest
import torch

from app.inference.engines.base import Engine
from app.inference.errors import EngineFailed, EngineGone
from app.inference.lane import Lane
from app.inference.rows import Row
from app.inference.runner import BatchRunner
from app.observability.metrics import Metrics
from model_store.network import Side
from tests.app.inference.batching import value
from tests.app.material import MeanEngine, grey, lane

GOOD, BAD = grey(7), grey(MeanEngine.POISON)


class Blank(MeanEngine):
    """Gives no numbers while it is blank."""

    blank = True

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        rows = super().features(batch, side)
        return np.full_like(rows, np.nan) if self.blank else rows


class Narrow(MeanEngine):
    """Has memory for so many images at once."""

    most = 2

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        if len(batch) > self.most:
            self.batches.append((len(batch), side))
            raise torch.OutOfMemoryError("no memory")
        return super().features(batch, side)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def limits() -> dict[Engine, int]:
    return {}


@pytest.fixture
def runner(metrics: Metrics, limits: dict[Engine, int]) -> BatchRunner:
    return BatchRunner(
        max_batch=8,
        limits=limits,
        failed_batches={},
        before_call=lambda: None,
        metrics=metrics,
    )


def breakage(runner: BatchRunner, only: Lane, *images: np.ndarray) -> str | None:
    """Runs a batch; gives why its engine must count as broken then."""
    return runner.breakage(only, images, runner.run(only, images))


def test_three_batches_in_a_row_without_an_image_make_an_engine_suspicious(
    runner: BatchRunner,
) -> None:
    engine = MeanEngine()
    engine.error = RuntimeError("an illegal memory access")
    only = lane(engine)
    assert breakage(runner, only, GOOD) is None
    assert breakage(runner, only, GOOD) is None
    said = breakage(runner, only, GOOD)
    assert said == "the engine of model 'mean' fails on every image (RuntimeError)"


def test_one_image_that_is_embedded_takes_the_suspicion_away(runner: BatchRunner) -> None:
    engine = MeanEngine()
    only = lane(engine)
    for _ in range(2):
        assert breakage(runner, only, BAD) is None
    assert breakage(runner, only, BAD, GOOD) is None
    engine.error = RuntimeError("an illegal memory access")
    for _ in range(2):
        assert breakage(runner, only, GOOD) is None
    assert breakage(runner, only, GOOD) is not None


def test_images_of_strangers_do_not_break_an_engine_that_embeds_a_plain_one(
    runner: BatchRunner,
) -> None:
    only = lane(MeanEngine())
    assert [breakage(runner, only, BAD) for _ in range(9)] == [None] * 9


def test_an_engine_that_gives_no_numbers_any_more_is_broken(runner: BatchRunner) -> None:
    engine = Blank()
    only = lane(engine)
    assert [breakage(runner, only, GOOD) for _ in range(2)] == [None] * 2
    said = breakage(runner, only, GOOD)
    assert said == "the engine of model 'mean' gives no finite embeddings any more"
    for _ in range(2):
        assert breakage(runner, only, GOOD) is None
    engine.blank = False
    assert runner.breakage(only, [GOOD], [EngineFailed("before")]) is None


class EndsAfter(MeanEngine):
    """Is of another process, which ends after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        self.calls -= 1
        if self.calls < 0:
            raise EngineGone("it has ended")
        return super().features(batch, side)


@pytest.mark.parametrize(("calls", "images"), [(0, [GOOD, GOOD]), (1, [BAD, GOOD])])
def test_what_has_ended_is_no_images_fault(
    runner: BatchRunner, metrics: Metrics, calls: int, images: list[np.ndarray]
) -> None:
    with pytest.raises(EngineGone):
        runner.run(lane(EndsAfter(calls)), images)
    failures = "twinlens_engine_failures_total"
    assert value(metrics, failures, model="mean", what="image") == 0
    assert value(metrics, failures, model="mean", what="batch") == calls


def test_what_ends_while_it_is_suspicious_is_not_called_broken(runner: BatchRunner) -> None:
    only = lane(EndsAfter(3))
    assert [breakage(runner, only, BAD) for _ in range(2)] == [None] * 2
    with pytest.raises(EngineGone):
        breakage(runner, only, BAD)


def test_failures_are_counted_by_batch_and_by_image(runner: BatchRunner, metrics: Metrics) -> None:
    def counted() -> tuple[float, float]:
        name = "twinlens_engine_failures_total"
        return value(metrics, name, model="mean", what="batch"), value(
            metrics, name, model="mean", what="image"
        )

    only = lane(MeanEngine())
    outcomes = runner.run(only, [GOOD, BAD, GOOD])
    assert [type(outcome) for outcome in outcomes] == [Row, EngineFailed, Row]
    assert counted() == (1, 1)
    runner.run(only, [BAD])
    assert counted() == (2, 2)
    runner.run(lane(Blank()), [GOOD, GOOD])
    assert counted() == (2, 4), "nothing was raised"


def test_a_batch_that_there_is_no_memory_for_is_halved_and_no_more_than_that(
    runner: BatchRunner, limits: dict[Engine, int]
) -> None:
    engine = Narrow()
    images = [grey(number) for number in range(5)]
    rows = runner.run(lane(engine), images)
    assert [row.embedding[0] for row in rows if isinstance(row, Row)] == [0, 1, 2, 3, 4]
    assert [size for size, _ in engine.batches] == [5, 3, 2, 1, 2]
    assert limits == {engine: 2}
