"""What happened at which step: kept in the state, written as CSV."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Row:
    """A stretch of training that ends at a step.

    Attributes:
        step: Steps done.
        epoch: Passes through the data done.
        seconds: Time spent training, over all runs.
        learning_rate: At the last step.
        loss: Mean over the stretch.
        images_per_second: Over the stretch.
        accuracy: Mean over the stretch of the share of each batch that was right, in the sense of
            the loss (see there), on images as the augmentation left them; None where it has none.
        eer: Equal error rate on the validation classes, where it was validated.
        auc: Area under the ROC curve, likewise.
        one_shot: Accuracy within groups, likewise, where the data has groups.
        train_auc: Area under the ROC curve on images trained on, where nothing is validated.
        genuine_distance: Mean Euclidean distance of embeddings of one class, where either of
            these was measured; so are the next ones.
        impostor_distance: Mean Euclidean distance of embeddings of two classes.
        spread: Of embeddings at unit length, 0 where they are all the same; see `Closeness`.
        cosine: Mean cosine of two embeddings.
        collapsed_loss: What `loss` would be if all embeddings were the same.
    """

    step: int
    epoch: float
    seconds: float
    learning_rate: float
    loss: float
    images_per_second: float
    accuracy: float | None = None
    eer: float | None = None
    auc: float | None = None
    one_shot: float | None = None
    train_auc: float | None = None
    genuine_distance: float | None = None
    impostor_distance: float | None = None
    spread: float | None = None
    cosine: float | None = None
    collapsed_loss: float | None = None

    def described(self) -> str:
        """What was seen, of a row after which the network was looked at."""
        parts = [] if self.eer is None else [f"equal error rate {self.eer:.2%}"]
        auc = self.train_auc if self.auc is None else self.auc
        parts.append(f"AUC {auc:.4f}")
        if self.one_shot is not None:
            parts.append(f"one-shot accuracy {self.one_shot:.2%}")
        where = "images trained on" if self.auc is None else "validation classes"
        text = f"step {self.step}: {', '.join(parts)} on {where}"
        if self.spread is not None:
            text += (
                f"; mean distances {self.genuine_distance:.3g} (one class) and "
                f"{self.impostor_distance:.3g} (two), spread {self.spread:.3g}"
            )
        return text


History = tuple[Row, ...]


def validations_since_best(history: History, start: float | None = None) -> int:
    """Validations after the first one that had the lowest equal error rate; 0 without any.

    Args:
        history: What happened.
        start: The equal error rate before the first step, if that counts.
    """
    before = [] if start is None else [start]
    found = before + [row.eer for row in history if row.eer is not None]
    return len(found) - 1 - found.index(min(found)) if found else 0


def to_csv(history: History) -> bytes:
    """A header and a line a row; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({key: _rounded(value) for key, value in asdict(row).items()})
    return text.getvalue().encode()


def from_csv(content: bytes) -> History:
    """Reads what `to_csv` wrote; columns that were not yet kept at the time are not measured.

    Raises:
        ValueError: It is something else.
    """
    kinds = {field.name: int if field.name == "step" else float for field in fields(Row)}
    rows = []
    for line in csv.DictReader(io.StringIO(content.decode())):
        found: dict[str, Any] = {
            name: kinds[name](text) for name, text in line.items() if name in kinds and text
        }
        try:
            rows.append(Row(**found))
        except TypeError as error:
            raise ValueError(f"not a history of training: {error}") from error
    return tuple(rows)


def to_plain(history: History) -> list[dict[str, Any]]:
    """Rows as dictionaries of numbers."""
    return [asdict(row) for row in history]


def from_plain(rows: list[dict[str, Any]]) -> History:
    """The inverse of `to_plain`."""
    return tuple(Row(**row) for row in rows)


def _rounded(value: float | None) -> float | str:
    return "" if value is None else float(f"{value:.6g}") if isinstance(value, float) else value
