"""What the processes beside the first make of an end, and of being asked to stop."""

from collections.abc import Iterator

import pytest

from training.run.following import follow
from training.run.interruption import StopRequest
from training.run.planning import Plan
from training.run.state import Standing


class Learning:
    """Counts its steps."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, *_: object) -> None:
        self.steps += 1


class Endless:
    """Batches of nothing."""

    def following(self, step: int) -> Iterator[list[object]]:
        while True:
            yield []


class Agreeing:
    """What is agreed on with the first process, question by question."""

    def __init__(self, *answers: bool) -> None:
        self._answers = iter(answers)

    def any(self, _: bool) -> bool:
        return next(self._answers)


# After each step they agree on whether to stop and, after the third, on whether it is over.
@pytest.mark.parametrize(
    ("answers", "steps", "ended"),
    [
        ((False, True), 2, False),
        ((False, False, False, True), 3, True),
        ((False, False, True, True), 3, True),
        ((False, False, True, False), 3, False),
        ((False, False, False, False, False, True), 5, True),
    ],
)
def test_it_ends_as_the_first_process_does(answers, steps, ended):
    plan = Plan(5, 1.0, frozenset({3}), keep_best=False, save_every=60, max_seconds=1)
    learner = Learning()
    agreed = follow(
        learner,
        plan,
        Endless(),
        # Where it stood at its beginning is all that this process knows of the time.
        Standing(seconds=0.5),
        processes=Agreeing(*answers),
        stop=StopRequest(),
    )
    assert (learner.steps, agreed) == (steps, ended)
