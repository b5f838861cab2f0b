"""A network's projection, fitted anew without some classes."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from model_store.network import SiameseNetwork, Side
from training.components import build
from training.data.augmentation import AUGMENTATIONS
from training.data.folders import ImageFolder
from training.evaluation.embedding import EmbeddedFolder, embed_told
from training.evaluation.metrics import Indices
from training.initialise import set_whitened
from training.progress import Reporter
from training.recipe import Recipe


@dataclass(frozen=True)
class Refitting:
    """What comes into a network's projection, and the network to fit it in anew.

    Attributes:
        network: A copy, of one branch.
        pooled: float64 (N, D), of the images as they are.
        flipped: float64 (N, D), of their mirror images; None where they do not count.
        fits_flipped: Whether mirror images count as images of their class.
        embedded: The images by the network as it was.
    """

    network: SiameseNetwork
    pooled: torch.Tensor
    flipped: torch.Tensor | None
    fits_flipped: bool
    embedded: EmbeddedFolder

    @staticmethod
    def of(
        network: SiameseNetwork,
        folder: ImageFolder,
        recipe: Recipe,
        device: torch.device,
        reporter: Reporter,
    ) -> "Refitting":
        """Of the images of a folder."""
        bare = copy.deepcopy(network)
        branch = bare.branch(Side.LEFT)
        branch.projection = nn.Sequential()
        branch.mirrored = branch.normalise = False
        plain = embed_told(bare, folder, "calibrating", device=device, reporter=reporter)
        mirrors = build(
            AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing
        ).mirrors
        flipped = None
        if mirrors or network.branch(Side.LEFT).mirrored:
            branch.backbone = nn.Sequential(_Flip(), branch.backbone)
            found = embed_told(
                bare, plain.folder, "calibrating, mirrored", device=device, reporter=reporter
            )
            flipped = found.embeddings.double()
        own = copy.deepcopy(network).cpu().eval()
        made = Refitting(own, plain.embeddings.double(), flipped, mirrors, plain)
        features = made.features()
        embedded = replace(plain, embeddings=own.finish(features), lengths=features.norm(dim=1))
        return replace(made, embedded=embedded)

    def without(self, classes: Indices) -> torch.Tensor:
        """`features`, by a projection fitted without some classes, which then is the network's."""
        labels = self.embedded.labels
        rest = torch.from_numpy(~np.isin(labels, classes))
        views = [self.pooled]
        if self.flipped is not None and self.fits_flipped:
            views.append(self.flipped)
        known = torch.from_numpy(labels)[rest].repeat(len(views))
        projection = self.network.branch(Side.LEFT).projection
        set_whitened([projection], [torch.cat([view[rest] for view in views])], known)
        return self.features()

    def features(self) -> torch.Tensor:
        """float32 (N, dimension): what the network's projection makes of all images."""
        branch = self.network.branch(Side.LEFT)
        pooled = self.pooled
        if branch.mirrored and self.flipped is not None:
            pooled = (pooled + self.flipped) / 2
        with torch.no_grad():
            features: torch.Tensor = branch.projection(pooled.float())
        return features


class _Flip(nn.Module):
    """Mirrors images left to right."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, height, width), likewise."""
        return images.flip(-1)
