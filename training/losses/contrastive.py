"""Genuine pairs together, impostor pairs at least a margin apart."""

import torch
from typing_extensions import override

from model_store.network import SiameseNetwork
from model_store.network.comparators import SigmoidComparator
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.accuracy import share_in_order
from training.losses.base import Loss, Measured


class Contrastive(Loss):
    """The contrastive loss (Hadsell, Chopra, LeCun 2006, equation 4, without its factor of ½).

    (1 − Y)·D² + Y·max(0, m − D)², averaged over the pairs, with Y = 1 for an impostor pair. D is
    the comparator's distance, or 1 − its similarity. Its accuracy is the share of all couples of a
    genuine and an impostor pair in which the genuine pair is the nearer one.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        margin: m, > 0, in units of D.
    """

    def __init__(self, dimension: int, classes: int, *, margin: float = 2.0) -> None:
        super().__init__(dimension, classes)
        if margin <= 0:
            raise ValueError("margin must be above 0")
        self.margin = margin

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`."""
        if isinstance(network.comparator, SigmoidComparator):
            raise RecipeError(
                "loss 'contrastive' needs a comparator that measures a distance; set "
                "network.comparator.name to euclidean, cosine or exponential-l1, or choose "
                "another loss"
            )
        if batch.pairs is None or batch.same is None:
            raise RecipeError("loss 'contrastive' compares pairs; set sampling.name=balanced-pairs")
        scores = network.comparator(embeddings[batch.pairs[:, 0]], embeddings[batch.pairs[:, 1]])
        distances = 1 - scores if network.comparator.metric.higher_is_alike else scores
        genuine = batch.same * distances.square()
        impostor = (1 - batch.same) * (self.margin - distances).clamp(min=0).square()
        same = batch.same > 0.5
        return Measured(
            (genuine + impostor).mean(), share_in_order(distances[None], same[None], ~same[None])
        )

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """m² for every impostor pair, as all distances are 0: m²/2 where pairs are balanced."""
        return None if batch.same is None else self.margin**2 * float(1 - batch.same.mean())
