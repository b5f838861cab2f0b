"""The Siamese network: branches that embed, and a comparator that joins two embeddings."""

from enum import StrEnum
from typing import Literal, cast

import torch
from torch import nn

from model_store.errors import StoreError
from model_store.network.branch import Branch, Features
from model_store.network.comparators import COMPARATORS, Comparator
from model_store.network.lookup import find, refusing
from model_store.network.specification import NetworkSpec
from model_store.preprocessing import Preprocessing, normalise


class Side(StrEnum):
    """Which image of a pair an image is: `image_a` is the left one, `image_b` the right."""

    LEFT = "left"
    RIGHT = "right"


class SiameseNetwork(nn.Module):
    """Embeds images and compares embeddings.

    Args:
        spec: The network to build.
        preprocessing: What its inputs look like; normalisation is part of the network, so that it
            runs on the network's device.

    Attributes:
        dimension: Values of an embedding.

    Raises:
        StoreError: The specification cannot be built; the message says why.
    """

    def __init__(self, spec: NetworkSpec, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.spec = spec
        self.preprocessing = preprocessing
        shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
        branches = [Branch(branch, *shape) for branch in spec.branches]
        dimensions = {branch.dimension for branch in branches}
        if len(dimensions) > 1:
            raise StoreError(f"the two branches give embeddings of different sizes: {dimensions}")
        self.dimension = dimensions.pop()
        self.branches = nn.ModuleList(branches)
        make = find(COMPARATORS, "comparator", spec.comparator.name)
        options = spec.comparator.options
        with refusing(f"comparator '{spec.comparator.name}' cannot be built with {options}"):
            self.comparator: Comparator = make(self.dimension, **options)

    @property
    def shares_weights(self) -> bool:
        """True where both sides use one branch, so that an embedding has no side."""
        return len(self.branches) == 1

    @property
    def subject(self) -> Literal["scene", "face"]:
        """What its backbones look for: on pictures of that all parts of them take part."""
        backbones = (branch.get_submodule("backbone") for branch in self.branches)
        looks_for_faces = any(getattr(part, "subject", "scene") == "face" for part in backbones)
        return "face" if looks_for_faces else "scene"

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides whose embeddings differ: one where the branches share weights, else both."""
        return (Side.LEFT,) if self.shares_weights else tuple(Side)

    @property
    def symmetric(self) -> bool:
        """Whether the order of the two images can never change the score."""
        return self.shares_weights and self.comparator.symmetric

    def embed(self, batch: torch.Tensor, side: Side = Side.LEFT) -> torch.Tensor:
        """The embeddings of prepared images.

        Args:
            batch: (N, height, width, channels), uint8 or float, values 0–255.
            side: The side the images are on; of no account where weights are shared.

        Returns:
            float32 (N, dimension).
        """
        embeddings: torch.Tensor = self.branch(side)(normalise(batch, self.preprocessing))
        return embeddings

    def features(self, batch: torch.Tensor, side: Side = Side.LEFT) -> torch.Tensor:
        """What embeddings are made of: not yet scaled to unit length, where they will be.

        The length is no part of a normalised embedding, and still tells how sure the network is.

        Args:
            batch: As `embed` takes it.
            side: As `embed` takes it.

        Returns:
            float32 (N, dimension).
        """
        return self.branch(side).features(normalise(batch, self.preprocessing))

    def finish(self, features: torch.Tensor, side: Side = Side.LEFT) -> torch.Tensor:
        """The embeddings that features become; nothing in it depends on weights.

        Args:
            features: float32 (N, dimension), on any device.
            side: The side that they were made on.

        Returns:
            float32 (N, dimension), as `embed` gives them.
        """
        return self.branch(side).finish(features)

    def finish_array(self, features: Features, side: Side = Side.LEFT) -> Features:
        """As `finish`, on float32 (N, dimension) in NumPy; the same to float32's rounding."""
        return self.branch(side).finish_array(features)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Scores pairs of prepared images.

        Args:
            left: (N, height, width, channels), as `embed` takes them.
            right: Likewise.

        Returns:
            float32 (N,), in the comparator's metric.
        """
        scores: torch.Tensor = self.comparator(
            self.embed(left, Side.LEFT), self.embed(right, Side.RIGHT)
        )
        return scores

    def branch(self, side: Side) -> Branch:
        """What embeds the images of a side."""
        # A ModuleList forgets what kind of modules it holds.
        return cast("Branch", self.branches[0 if self.shares_weights or side is Side.LEFT else 1])
