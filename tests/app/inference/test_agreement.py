"""Engines that are off by a known amount, against a probe worked by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from app.inference.engines.agreement import BOUNDS, EngineDisagrees, check
from app.inference.engines.base import ONE_AT_A_TIME, Features, UInt8Batch
from model_store.network import Side
from model_store.probe import Probe

PICTURES = 10

Change = Callable[[Features, Side], Features]


class Known:
    """Gives picture n the nth unit vector, with something done to it.

    Args:
        change: What is done to the features of a call, and of which side.
        precision: What it says of itself.
    """

    name, device, reason, concurrency = "known", "cpu", "made for tests", ONE_AT_A_TIME

    def __init__(
        self, change: Change = lambda rows, side: rows, precision: str = "float32"
    ) -> None:
        self._change = change
        self.precision = precision

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        rows = np.eye(PICTURES, 1 + PICTURES, dtype=np.float32)[batch[:, 0, 0, 0]]
        return self._change(rows, side)

    def warm_up(self, max_batch: int) -> None:
        pass

    def close(self) -> None:
        pass


def probe(*sides: Side) -> Probe:
    images = np.arange(PICTURES, dtype=np.uint8).reshape(-1, 1, 1, 1)
    rows = np.eye(PICTURES, 1 + PICTURES, dtype=np.float32)
    return Probe(images, dict.fromkeys(sides or (Side.LEFT,), rows), "1.2.3")


def turned(rows: Features, cosine: float) -> Features:
    """Towards what no picture has, by an angle of that cosine, without getting longer."""
    turned = rows * cosine
    turned[:, -1] = np.sqrt(1 - cosine**2)
    return turned


def only(picture: int, change: Callable[[Features], Features]) -> Change:
    """The change, of one picture only."""

    def changed(rows: Features, side: Side) -> Features:
        del side
        return np.where(rows[:, picture, None] > 0, change(rows), rows)

    return changed


def test_an_engine_that_computes_the_same_agrees() -> None:
    found = check(Known(), probe(*Side))
    assert (found.mean, found.worst, found.length) == (1, 1, 0)


@pytest.mark.parametrize("precision", [*BOUNDS])
def test_each_bound_is_held_by_itself(precision: str) -> None:
    bound = BOUNDS[precision]
    # One picture in eleven, as the first is looked at twice, hardly counts in the mean.
    within: tuple[Change, ...] = (
        lambda rows, _: turned(rows, (1 + bound.mean) / 2),
        only(3, lambda rows: turned(rows, (bound.mean + bound.worst) / 2)),
        only(3, lambda rows: rows * (1 + 0.9 * bound.length)),
        only(3, lambda rows: rows * (1 - 0.9 * bound.length)),
    )
    for change in within:
        check(Known(change, precision), probe())
    beyond: tuple[Change, ...] = (
        # All are off, none of them too far by itself.
        lambda rows, _: turned(rows, (bound.mean + bound.worst) / 2),
        # One is too far off, and the mean is none the worse for it.
        only(3, lambda rows: turned(rows, bound.worst - 0.05 * (1 - bound.worst))),
        only(3, lambda rows: rows * (1 + 1.1 * bound.length)),
        only(3, lambda rows: rows * (1 - 1.1 * bound.length)),
        lambda rows, _: rows * np.float32("nan"),
    )
    for change in beyond:
        with pytest.raises(EngineDisagrees, match=f"known on cpu in {precision} computes other"):
            check(Known(change, precision), probe())


@pytest.mark.parametrize(
    ("precision", "one", "all_of_them"),
    [
        ("float32", 0.9998, 0.99998),
        ("float16", 0.9990, 0.9998),
        ("bfloat16", 0.9900, 0.9970),
    ],
)
def test_no_precision_may_be_off_by_much(precision: str, one: float, all_of_them: float) -> None:
    """Whatever the bounds: other embeddings are other scores, against the same threshold."""
    for change in (
        only(3, lambda rows: turned(rows, one)),
        lambda rows, _: turned(rows, all_of_them),
        lambda rows, _: rows * 1.05,
    ):
        with pytest.raises(EngineDisagrees):
            check(Known(change, precision), probe())


def test_a_picture_alone_is_held_against_the_network_too() -> None:
    def alone(rows: Features, side: Side) -> Features:
        del side
        return turned(rows, 0.9) if len(rows) == 1 else rows

    with pytest.raises(EngineDisagrees):
        check(Known(alone), probe())


def test_every_side_is_held_against_the_network() -> None:
    for wrong in Side:

        def one_side(rows: Features, side: Side, wrong: Side = wrong) -> Features:
            return rows[:, ::-1] if side is wrong else rows

        with pytest.raises(EngineDisagrees):
            check(Known(one_side), probe(*Side))


def test_features_of_another_shape_are_said() -> None:
    for change in (lambda rows, _: rows[:, 1:], lambda rows, _: rows[1:]):
        with pytest.raises(EngineDisagrees, match="gives features of shape"):
            check(Known(change), probe())


def test_what_is_nothing_on_both_sides_agrees_and_on_one_does_not() -> None:
    known = probe()
    nothing = known.features[Side.LEFT].copy()
    nothing[4] = 0
    empty = Probe(known.images, {Side.LEFT: nothing}, "1.2.3")
    check(Known(only(4, np.zeros_like)), empty)
    with pytest.raises(EngineDisagrees):
        check(Known(), empty)
    with pytest.raises(EngineDisagrees):
        check(Known(only(4, np.zeros_like)), known)
