"""Which batch is next, without threads."""

import asyncio

import pytest

from app.inference.callers import Callers
from app.inference.engines.base import Concurrency
from app.inference.lane import Lane
from app.inference.schedule import Schedule, Slot
from tests.app.inference.batching import SIDE_BY_SIDE
from tests.app.material import MeanEngine, grey, lane

# Up to four images go to it one by one, two of them to wait behind the two that it is at.
FEW_ALONE = Concurrency(streams=2, calls=4, batch=3, alone=4)

# One stream while no more than five images are about: one call, and one behind it.
ONE_FOR_FEW = Concurrency(streams=2, calls=4, batch=3, own=1, few=5)


@pytest.fixture
def callers() -> Callers:
    return Callers()


@pytest.fixture
def schedule(callers: Callers) -> Schedule:
    return Schedule(max_batch=8, limits={}, callers=callers)


def waiting(schedule: Schedule, where: Lane, count: int) -> list[Slot]:
    loop = asyncio.new_event_loop()
    slots = [Slot(where, loop.create_future(), grey(number)) for number in range(count)]
    loop.close()
    for slot in slots:
        schedule.add(slot)
    return slots


def taken(schedule: Schedule) -> list[int]:
    """Sizes of the batches that threads take until none may."""
    sizes = []
    while (turn := schedule.turn()) is not None:
        sizes.append(len(schedule.take(turn, len(sizes)).slots))
    return sizes


@pytest.mark.parametrize(
    ("count", "sizes", "left"),
    [
        (1, [1], 0),
        (3, [1, 1, 1], 0),
        # All four calls are there, two of them behind the two that are computed.
        (4, [1, 1, 1, 1], 0),
        # From five on they share: three, and the other two once nothing is full any more.
        (5, [3, 2], 0),
        (9, [3, 3, 3], 0),
        (20, [3, 3, 3, 3], 8),
    ],
)
def test_few_images_go_alone_and_more_share_batches(
    schedule: Schedule, count: int, sizes: list[int], left: int
) -> None:
    waiting(schedule, lane(MeanEngine(FEW_ALONE)), count)

    assert taken(schedule) == sizes
    assert schedule.depth == left


def test_what_is_computed_counts_as_well(schedule: Schedule) -> None:
    only = lane(MeanEngine(FEW_ALONE))
    waiting(schedule, only, 6)
    schedule.take(only, 0)

    # Three are computed: with two that wait, more are about than go alone.
    schedule.take(only, 1)
    assert schedule.depth == 0
    waiting(schedule, only, 2)
    assert schedule.turn() is None

    schedule.done(0)
    schedule.done(1)
    assert taken(schedule) == [1, 1]


@pytest.mark.parametrize(
    ("count", "sizes", "left"),
    [
        (2, [2], 0),
        # Those that fill a batch may wait behind it.
        (5, [3], 2),
        # More than few: both streams, with a batch behind each.
        (6, [3, 3], 0),
        (14, [3, 3, 3, 3], 2),
    ],
)
def test_with_few_images_about_an_engine_keeps_to_its_own_streams(
    schedule: Schedule, count: int, sizes: list[int], left: int
) -> None:
    waiting(schedule, lane(MeanEngine(ONE_FOR_FEW)), count)

    assert taken(schedule) == sizes
    assert schedule.depth == left


def test_what_is_computed_is_about_as_well(schedule: Schedule) -> None:
    only = lane(MeanEngine(ONE_FOR_FEW))
    waiting(schedule, only, 3)
    assert len(schedule.take(only, 0).slots) == 3
    waiting(schedule, only, 2)
    assert schedule.turn() is None

    waiting(schedule, only, 1)
    assert schedule.turn() is only
    assert len(schedule.take(only, 1).slots) == 3


def test_a_caller_without_company_has_all_streams(schedule: Schedule, callers: Callers) -> None:
    callers.enter(4)
    only = lane(MeanEngine(ONE_FOR_FEW))
    waiting(schedule, only, 4)

    assert [len(schedule.take(only, thread).slots) for thread in range(2)] == [2, 2]
    assert schedule.at(1).lone_images == 4

    callers.enter(1)
    waiting(schedule, only, 1)
    assert schedule.turn() is None
    schedule.done(0)
    schedule.done(1)
    assert schedule.take(only, 0).lone_images == 0


def test_an_engine_that_names_no_such_number_gets_batches(schedule: Schedule) -> None:
    waiting(schedule, lane(MeanEngine()), 3)

    assert taken(schedule) == [3]


def test_images_come_out_in_order_and_once(schedule: Schedule) -> None:
    only = lane(MeanEngine(FEW_ALONE))
    slots = waiting(schedule, only, 7)
    assert schedule.remove(slots[1])
    assert not schedule.remove(slots[1])

    first = schedule.take(only, 0)
    assert first.slots == [slots[0], slots[2], slots[3]]
    assert schedule.longest is first
    assert schedule.abandon() == first.slots
    assert schedule.clear() == slots[4:]
    assert schedule.longest is None
    assert schedule.depth == 0


def test_the_load_is_the_part_of_the_device_that_computes(schedule: Schedule) -> None:
    only = lane(MeanEngine(FEW_ALONE))
    assert schedule.load == 0
    waiting(schedule, only, 4)
    schedule.take(only, 0)
    assert schedule.load == 0.5
    for thread in range(1, 4):
        schedule.take(only, thread)
        # The third and fourth call wait behind the other two.
        assert schedule.load == 1
    for thread in range(3):
        schedule.done(thread)
    assert schedule.load == 0.5
    schedule.abandon()
    assert schedule.load == 0


def test_the_load_counts_what_few_images_leave_to_others_as_free(schedule: Schedule) -> None:
    only = lane(MeanEngine(ONE_FOR_FEW))
    waiting(schedule, only, 5)
    assert taken(schedule) == [3]
    assert schedule.load == 0.5, "with more images about there would be two calls"
    waiting(schedule, only, 1)
    schedule.take(only, 1)
    assert schedule.load == 1
    content = lane(MeanEngine(Concurrency(streams=2, calls=4, batch=3, own=1)))
    schedule.abandon()
    waiting(schedule, content, 1)
    schedule.take(content, 0)
    assert schedule.load == 1, "it never has more than one"


def test_an_engine_that_has_memory_for_few_images_is_given_no_more_of_them(
    callers: Callers,
) -> None:
    engine = MeanEngine()
    schedule = Schedule(max_batch=8, limits={engine: 3}, callers=callers)
    only, other = lane(engine), lane(MeanEngine())
    waiting(schedule, only, 7)
    waiting(schedule, other, 7)
    assert len(schedule.take(only, 0).slots) == 3
    assert len(schedule.take(other, 1).slots) == 7


def test_the_load_is_never_more_than_the_whole_device(schedule: Schedule) -> None:
    for thread, only in enumerate((lane(MeanEngine()), lane(MeanEngine()))):
        waiting(schedule, only, 1)
        schedule.take(only, thread)
    assert schedule.load == 1


def test_the_call_that_has_lasted_longest_is_the_one_that_began_first(schedule: Schedule) -> None:
    only = lane(MeanEngine(FEW_ALONE))
    waiting(schedule, only, 3)
    batches = [schedule.take(only, thread) for thread in range(3)]
    for batch, since in zip(batches, (20.0, 10.0, 30.0), strict=True):
        batch.since = since
    assert schedule.longest is batches[1]
    schedule.done(1)
    assert schedule.longest is batches[0]


def test_a_lane_whose_last_image_was_taken_back_has_no_turn(schedule: Schedule) -> None:
    first, second = lane(MeanEngine()), lane(MeanEngine())
    (slot,) = waiting(schedule, first, 1)
    waiting(schedule, second, 1)
    assert schedule.remove(slot)
    assert schedule.turn() is second


def test_calls_that_wait_behind_others_in_the_engine_are_no_load(schedule: Schedule) -> None:
    only = lane(MeanEngine(ONE_FOR_FEW))
    waiting(schedule, only, 5)
    for thread in range(2):
        schedule.take(only, thread)
    assert schedule.load == 0.5


def test_what_waits_is_not_shared_with_streams_that_another_engine_keeps_busy(
    schedule: Schedule,
) -> None:
    one, other = lane(MeanEngine(SIDE_BY_SIDE)), lane(MeanEngine(SIDE_BY_SIDE))
    waiting(schedule, one, 1)
    schedule.take(one, 0)
    waiting(schedule, other, 3)
    assert len(schedule.take(other, 1).slots) == 3
