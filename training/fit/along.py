"""What every process but the first does of `fit`, and what it must know for that."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.data.parts import check_same_data, make_parts, open_sources
from training.data.split import Split
from training.distributed import Processes
from training.fit.request import FitRequest
from training.progress import Reporter
from training.recipe import Recipe
from training.run.folder import Run, RunRecord
from training.run.job import Job
from training.run.session import Session


class Settled(BaseModel):
    """What the first process has settled.

    Attributes:
        recipe: How it trains.
        split: Which classes serve what, as JSON.
        record: How the run began.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    split: str
    record: RunRecord

    @classmethod
    def of(cls, job: Job) -> "Settled":
        """What there is to settle about a job."""
        return cls(recipe=job.recipe, split=job.split.to_json().decode(), record=job.record)

    def to_bytes(self) -> bytes:
        """As `from_bytes` reads it."""
        return self.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Settled":
        """The inverse of `to_bytes`."""
        return cls.model_validate_json(data)


def fit_along(request: FitRequest, processes: Processes) -> bool:
    """Trains along with the first process, which has called `fit`.

    Args:
        request: What is wanted, the same as there but for the device.
        processes: All of them.

    Returns:
        Whether the training came to its end; False if it was interrupted.

    Raises:
        TwinlensError: The data are not the same, or another process ended.
    """
    sources = open_sources(request.data, request.holdout, request.right)
    with processes.joined(request.device), _silent() as reporter:
        settled = Settled.from_bytes(processes.from_first())
        split = Split.from_json(settled.split.encode())
        check_same_data(sources, split)
        parts = make_parts(sources, split).without(settled.record.unusable)
        job = Job(settled.recipe, split, settled.record, parts, sources.name)
        return Session(
            job,
            Run(request.store.root, request.name),
            store=request.store,
            device=request.device,
            save_every=math.inf,
            reporter=reporter,
            processes=processes,
        ).follow()


@contextmanager
def _silent() -> Iterator[Reporter]:
    with Path(os.devnull).open("w") as nowhere:
        yield Reporter(nowhere)
