"""Which images of a folder can be used at all: found by decoding each, before minutes go by."""

from collections.abc import Callable

from model_store.preprocessing import Preprocessing
from training.data.folders import ImageFolder, Item
from training.data.pixels import prepared_item
from training.data.sources import Skipped
from training.threads import threads

# What cannot be decoded to this cannot be to any size.
_SMALL = Preprocessing(height=32, width=32, mode="L", mean=(0.0,), std=(1.0,))
_TOLD_EVERY = 64


def unusable_images(
    folder: ImageFolder, *, workers: int, on_progress: Callable[[int], None]
) -> tuple[Skipped, ...]:
    """Images that cannot be read or decoded, in the order of the folder's items.

    Args:
        folder: Where they are.
        workers: Threads that decode.
        on_progress: Told how many images are done.
    """
    unusable: list[Skipped] = []
    with threads(workers, "usable") as pool:
        looked_at = pool.map(lambda item: _why_not(folder, item), folder.items)
        for done, skipped in enumerate(looked_at, 1):
            if skipped is not None:
                unusable.append(skipped)
            if done % _TOLD_EVERY == 0 or done == len(folder.items):
                on_progress(done)
    return tuple(unusable)


def _why_not(folder: ImageFolder, item: Item) -> Skipped | None:
    prepared = prepared_item(folder, item, _SMALL)
    return prepared if isinstance(prepared, Skipped) else None
