"""How well embeddings of nothing but a starting network tell classes apart, classes held out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.data.training_set import Integers
from training.evaluation.metrics import Ranking
from training.initialise.whitening import fit_whitening

Booleans = npt.NDArray[np.bool_]

_FOLDS = 3
_LEAST_CLASSES = 2


@dataclass(frozen=True)
class Merit:
    """What a trial gave.

    Attributes:
        eer: Equal error rate over all pairs, the mean over the folds.
        auc: Area under the ROC curve, likewise.
    """

    eer: float
    auc: float


def deal(classes: int, rng: np.random.Generator) -> Integers:
    """Each class's fold, (classes,): three folds, or fewer so that each has two classes."""
    folds = max(1, min(_FOLDS, classes // _LEAST_CLASSES))
    return (rng.permutation(classes) % folds).astype(np.int64)


def merit(
    views: list[torch.Tensor],
    labels: Integers,
    folds: Integers,
    *,
    whitened: bool,
    on_right: Booleans | None = None,
) -> Merit | None:
    """Judges features on the classes of each fold, in turn.

    Args:
        views: One (N, D) or more: features of the images as they are; then, where mirrored images
            count as the same, of the mirrored ones. Only the first is judged.
        labels: (N,), the images' classes.
        folds: (N,), the fold of each image's class.
        whitened: Whether they are whitened by the classes of the other folds first.
        on_right: (N,), the images on the right side, where only those of two sides are a pair.

    Returns:
        None if no fold has a pair of one class and a pair of two.
    """
    found = []
    for fold in np.unique(folds).tolist():
        left_out = folds == fold
        features = views[0][torch.from_numpy(left_out)].double()
        if whitened:
            rest = torch.from_numpy(~left_out)
            if len(np.unique(labels[~left_out])) < _LEAST_CLASSES:
                continue
            learnt = torch.cat([view[rest] for view in views]).double()
            classes = torch.from_numpy(np.tile(labels[~left_out], len(views)))
            features = fit_whitening(learnt, classes)(features)
        sides = None if on_right is None else on_right[left_out]
        pairs = _ranking(features, labels[left_out], sides)
        if pairs is not None:
            roc = pairs.roc()
            found.append((roc.eer(), roc.auc()))
    if not found:
        return None
    eer, auc = np.mean(found, axis=0).tolist()
    return Merit(eer, auc)


def _ranking(features: torch.Tensor, labels: Integers, on_right: Booleans | None) -> Ranking | None:
    unit = functional.normalize(features, dim=1)
    cosines = (unit @ unit.T).numpy()
    rows, columns = np.triu_indices(len(labels), 1)
    if on_right is not None:
        asked = on_right[rows] != on_right[columns]
        rows, columns = rows[asked], columns[asked]
    same = labels[rows] == labels[columns]
    scores = cosines[rows, columns]
    return Ranking(scores[same], scores[~same]) if same.any() and not same.all() else None
