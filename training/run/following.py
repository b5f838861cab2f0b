"""What every process but the first does: steps, and nothing between them."""

from dataclasses import replace

from training.data.batches import Batches
from training.distributed import Processes
from training.learning.learner import Learner
from training.run.interruption import StopRequest
from training.run.planning import Plan
from training.run.state import Standing


def follow(
    learner: Learner,
    plan: Plan,
    batches: Batches,
    standing: Standing,
    *,
    processes: Processes,
    stop: StopRequest,
) -> bool:
    """Trains along, step by step with the first process's `Loop`.

    Args:
        learner: In the same state as the first process's.
        plan: The same.
        batches: This process's share of each step.
        standing: Where the run stands.
        processes: All of them.
        stop: This process asked to stop?

    Returns:
        Whether the training came to its end; False if any process was asked to stop.

    Raises:
        TrainingError: Another process ended.
    """
    if plan.ended(standing):
        return True
    for makings in batches.following(standing.step):
        learner.step(makings, standing.step, (standing.step + 0.5) / plan.steps)
        standing = replace(standing, step=standing.step + 1)
        asked = processes.any(stop.asked)
        # Time and patience are the first process's to know; so it is asked before anybody stops.
        if standing.step in plan.validations and processes.any(False):
            return True
        if standing.step >= plan.last:
            return True
        if asked:
            return False
    return True
