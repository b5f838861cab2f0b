"""Each image is told to find the mean of its class among the means of all classes in the batch."""

import math

import torch
from torch.nn import functional
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.base import Loss, Measured


class Prototypical(Loss):
    """Prototypical networks (Snell, Swersky, Zemel 2017, arXiv 1703.05175, equations 1 and 2).

    The first `shots` images of each class in the batch make its prototype, their mean; the others
    are queries. A query's logits are −scale·‖query − prototype‖², and the loss is their
    cross-entropy, averaged over the queries. With shots = 1 and classes of one group, a batch is
    a one-shot trial. Its accuracy is the share of the queries that are nearest to their own
    class's prototype.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        shots: Images that make a prototype, ≥ 1.
        scale: Of the squared distances, > 0; embeddings of unit length want about 10.
    """

    def __init__(self, dimension: int, classes: int, *, shots: int = 1, scale: float = 1.0) -> None:
        super().__init__(dimension, classes)
        if shots < 1 or scale <= 0:
            raise ValueError("shots must be 1 or above, scale above 0")
        self.shots = shots
        self.scale = scale

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`."""
        present, label = torch.unique(batch.labels, return_inverse=True)
        member = functional.one_hot(label, len(present))
        rank = (member.cumsum(0) * member).sum(1) - 1
        support = rank < self.shots
        query = ~support
        if not bool(query.any()):
            raise RecipeError(
                f"loss 'prototypical' with {self.shots} shot(s) found no class with more images "
                "than that in the batch; set sampling.name=classes-by-images with more images "
                "a class"
            )
        weights = (member * support[:, None]).to(embeddings.dtype)
        prototypes = (weights.T @ embeddings) / weights.sum(0)[:, None]
        # ‖q − p‖² from the inner products, so that no (queries, classes, dimension) array is made.
        queries = embeddings[query]
        distances = (
            queries.square().sum(1, keepdim=True)
            - 2 * queries @ prototypes.T
            + prototypes.square().sum(1)
        )
        right = distances.detach().argmin(1) == label[query]
        return Measured(
            functional.cross_entropy(-self.scale * distances, label[query]), right.float().mean()
        )

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The logarithm of the number of classes in the batch."""
        return math.log(len(torch.unique(batch.labels)))
