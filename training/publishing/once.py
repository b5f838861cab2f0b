"""Publishing each of a run's weights once, however often the run is interrupted between two."""

from collections.abc import Callable

from model_store.errors import StoreError
from model_store.reader import Reference
from model_store.store import ModelStore
from training.progress import Reporter
from training.run.folder import Published, Run


def publish_once(
    name: str,
    step: int,
    put: Callable[[], Reference],
    *,
    run: Run,
    store: ModelStore,
    reporter: Reporter,
) -> Reference:
    """Publishes, unless the run has published these weights before and they are still there.

    Args:
        name: Of the model.
        step: Whose weights they are.
        put: Publishes them.
        run: Where what is published is noted.
        store: Where models go.
        reporter: Told where nothing is to be done.

    Raises:
        TwinlensError: As `put`; or the note cannot be read or written.
    """
    for note in run.published():
        if (note.name, note.step) == (name, step) and _still_there(note, store):
            reporter.say(
                f"the weights of step {step:,} were put into the store before the interruption: "
                f"'{name}' version {note.version}"
            )
            return store.find(name, note.version)
    reference = put()
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
