"""Publishing each of a run's weights once, however often the run is interrupted between two."""

from collections.abc import Callable

import torch

from model_store.errors import StoreError
from model_store.network import SiameseNetwork
from model_store.store import ModelStore, Reference
from training.crossing import Crossed
from training.progress import Reporter
from training.publishing.publish import publish
from training.run.folder import Published, Run
from training.run.job import Job, Trained


def publish_once(
    name: str,
    trained: Trained,
    job: Job,
    *,
    run: Run,
    store: ModelStore,
    device: torch.device,
    reporter: Reporter,
    cross: Callable[[SiameseNetwork], Crossed] | None = None,
) -> Reference:
    """As `publish`, unless the run has published these weights before and they are still there.

    Args:
        name: As `publish` takes it, like all others.
        trained: Likewise.
        job: Likewise.
        run: Where what is published is noted.
        store: As `publish` takes it.
        device: Likewise.
        reporter: Likewise.
        cross: Likewise.

    Raises:
        TwinlensError: As `publish`; or the note cannot be read or written.
    """
    best = trained.standing.best
    step = trained.standing.step if best is None else best.step
    for note in run.published():
        if (note.name, note.step) == (name, step) and _still_there(note, store):
            reporter.say(
                f"the weights of step {step:,} were put into the store before the interruption: "
                f"'{name}' version {note.version}"
            )
            return store.find(name, note.version)
    reference = publish(
        name, trained, job, store=store, device=device, reporter=reporter, cross=cross
    )
    weights = store.manifest(name, reference.version).weights.sha256
    run.note_published(
        Published(name=name, step=step, version=reference.version, weights_sha256=weights)
    )
    return reference


def _still_there(note: Published, store: ModelStore) -> bool:
    """Whether the store has it whole; a version may have been taken away, or be another's now."""
    try:
        manifest = store.load(note.name, note.version).manifest
    except StoreError:
        return False
    return manifest.weights.sha256 == note.weights_sha256
