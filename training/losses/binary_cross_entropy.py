"""Binary cross-entropy on a learned logit of each pair: the loss of the sigmoid systems."""

import math

import torch
from torch.nn import functional
from typing_extensions import override

from model_store.network import SiameseNetwork
from model_store.network.comparators import SigmoidComparator
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.base import Loss, Measured


class BinaryCrossEntropy(Loss):
    """−[y·ln σ(z) + (1 − y)·ln(1 − σ(z))], averaged over the pairs; y = 1 for a genuine pair.

    Its accuracy is the share of the pairs whose σ(z) is on the right side of ½.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
    """

    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`."""
        comparator = network.comparator
        if not isinstance(comparator, SigmoidComparator):
            raise RecipeError(
                "loss 'binary-cross-entropy' needs a comparator that ends in a sigmoid; set "
                "network.comparator.name to absolute-difference-sigmoid, or choose another loss"
            )
        if batch.pairs is None or batch.same is None:
            raise RecipeError(
                "loss 'binary-cross-entropy' compares pairs; set sampling.name=balanced-pairs"
            )
        left, right = embeddings[batch.pairs[:, 0]], embeddings[batch.pairs[:, 1]]
        logits = comparator.logit(left, right)
        same = batch.same.to(logits.dtype)
        decided = (logits.detach() > 0) == (same > 0.5)
        return Measured(
            functional.binary_cross_entropy_with_logits(logits, same), decided.float().mean()
        )

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The entropy of the shares of genuine and impostor pairs: ln 2 where they are halves."""
        if batch.same is None:
            return None
        share = float(batch.same.mean())
        return -sum(part * math.log(part) for part in (share, 1 - share) if part > 0)
