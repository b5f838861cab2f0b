"""Training curves for TensorBoard (the extra `tensorboard`)."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from training.errors import TrainingError
from training.history import Row

_TAGS = {
    "loss": "training/loss",
    "accuracy": "training/accuracy",
    "collapsed_loss": "training/loss if collapsed",
    "learning_rate": "training/learning rate",
    "images_per_second": "training/images per second",
    "train_auc": "training/area under the ROC curve",
    "eer": "validation/equal error rate",
    "auc": "validation/area under the ROC curve",
    "one_shot": "validation/one-shot accuracy",
    "genuine_distance": "embeddings/mean distance in one class",
    "impostor_distance": "embeddings/mean distance of two classes",
    "spread": "embeddings/spread",
    "cosine": "embeddings/mean cosine",
}
"""The scalars, by the fields of a row; what is not measured at a step has no point there."""


def check_tensorboard() -> None:
    """Says so at once where the library is missing.

    Raises:
        TrainingError: It is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise TrainingError(
            "--tensorboard needs the package tensorboard; install it with "
            "pip install --editable '.[tensorboard]', or leave the option out (history.csv and "
            "curves.png have the same figures)"
        )


@contextmanager
def scalars(folder: Path, done: int, say: Callable[[str], None]) -> Iterator[Callable[[Row], None]]:
    """Gives what writes rows as scalars, each at its step.

    Where one cannot be written, that is told once and nothing more is written: curves are no
    reason to lose a training.

    Args:
        folder: Where TensorBoard is to find them; made if it is not there.
        done: Steps done before: what an interrupted run wrote of later ones is not shown, nor,
            where it is 0, anything of an earlier run.
        say: Told where it cannot be written any more.

    Raises:
        TrainingError: The library is missing, or the folder cannot be written to begin with.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    try:
        writer = SummaryWriter(os.fspath(folder), purge_step=done + 1 if done else 0)
    except OSError as error:
        raise TrainingError(
            f"cannot write to {folder} ({error.strerror or error}); give --tensorboard another "
            "folder"
        ) from error

    broken = False

    @contextmanager
    def told() -> Iterator[None]:
        nonlocal broken
        try:
            yield
        except OSError as error:
            if not broken:
                say(
                    f"TensorBoard's scalars cannot be written to {folder} any more "
                    f"({error.strerror or error}); training goes on without them (history.csv "
                    "and curves.png will have the same figures). If the disk is full, make room: "
                    "the states of the training may need it too"
                )
            broken = True

    def write(row: Row) -> None:
        if broken:
            return
        values = asdict(row)
        with told():
            for field, tag in _TAGS.items():
                if values[field] is not None:
                    writer.add_scalar(tag, values[field], row.step)
            # Seen while it trains, not minutes later.
            writer.flush()

    try:
        yield write
    finally:
        with told():
            writer.close()
