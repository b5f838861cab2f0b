"""What every loss offers."""

from dataclasses import dataclass

import torch
from torch import nn

from model_store.network import SiameseNetwork
from training.data.batch import Batch


@dataclass(frozen=True)
class Measured:
    """What a loss makes of one batch.

    Attributes:
        loss: A scalar, averaged over the batch.
        accuracy: The share of what the loss compares that the network has right, a scalar on the
            loss's device without a gradient; None where the loss has no such share.
    """

    loss: torch.Tensor
    accuracy: torch.Tensor | None = None


class Loss(nn.Module):
    """From a batch's embeddings to the value that training lowers.

    Built as `Loss(dimension, classes, **options)`. It may hold parameters of its own; they are
    trained along with the network and never shipped.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data; labels are below it.
    """

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.classes = classes

    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """The loss of one batch, and what share of it the network has right.

        Args:
            network: Its comparator may be wanted.
            embeddings: float32 (N, dimension), row i of `batch.images[i]`.
            batch: Labels, and pairs where the sampler drew them.

        Raises:
            RecipeError: The network or the sampler does not go with this loss.
        """
        raise NotImplementedError

    def forward(
        self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch
    ) -> torch.Tensor:
        """The loss alone, as `measured` has it."""
        return self.measured(network, embeddings, batch).loss

    def collapsed_value(self, batch: Batch) -> float | None:
        """The loss of a batch whose embeddings are all one and the same vector.

        Parameters of the comparator's and the loss's own are taken at what serves best then. A
        training whose loss stays there has learnt nothing.

        Args:
            batch: All of it but the images.

        Returns:
            None where there is no such value.
        """
        del batch
        return None
