"""How well a network tells classes apart, while it trains."""

from dataclasses import dataclass

import numpy as np
import torch

from model_store.network import SiameseNetwork, Side
from training.data.folders import ImageFolder
from training.data.pixels import PixelsInMemory
from training.data.sample import have_pairs
from training.errors import LOWER_RATE, Derailed
from training.evaluation.embedding import EmbeddedFolder, sides_differ
from training.evaluation.metrics import Ranking
from training.evaluation.pairs import score_folder
from training.evaluation.protocols.one_shot import can_play, play
from training.guard.closeness import Closeness, measure

_PAIRS = 20_000
_TRIALS = 2_000
_BATCH = 128


@dataclass(frozen=True)
class Sight:
    """What was seen.

    Attributes:
        eer: Equal error rate.
        auc: Area under the ROC curve.
        one_shot: Accuracy of 20-way one-shot trials within groups; None where none can be drawn.
        closeness: Where embeddings lie.
    """

    eer: float
    auc: float
    one_shot: float | None
    closeness: Closeness


class Watch:
    """Validates a network on images held in memory: the same images, pairs and trials each time.

    Args:
        pixels: The images.
        device: Where the network is.
        seed: Of the pairs and trials, where there are more than are looked at.
        trained_on: Whether these are images that the network is trained on.

    Attributes:
        trained_on: As given.
        images: How many images there are.
    """

    def __init__(
        self,
        pixels: PixelsInMemory,
        device: torch.device,
        seed: int,
        *,
        trained_on: bool = False,
    ) -> None:
        self.trained_on = trained_on
        self.images = len(pixels.folder.items)
        self._pixels = pixels
        self._device = device
        self._seed = seed

    def __call__(self, network: SiameseNetwork) -> Sight:
        """Looks at a network; its mode, and all random state, are as before afterwards.

        Raises:
            Derailed: Its embeddings are no numbers.
        """
        training = network.training
        network.eval()
        try:
            left = self._embedded(network, Side.LEFT)
            differ = sides_differ(network, self._pixels.folder)
            right = self._embedded(network, Side.RIGHT) if differ else None
        finally:
            network.train(training)
        scored = score_folder(
            network, left, right, seed=self._seed, max_impostors=_PAIRS, max_genuine=_PAIRS
        )
        roc = Ranking(scored.genuine_alike, scored.impostor_alike).roc()
        accuracy = None
        if can_play(left, right):
            trials = play(left, network, candidates=right, trials=_TRIALS, seed=self._seed)
            accuracy = trials.accuracy
        return Sight(
            eer=roc.eer(),
            auc=roc.auc(),
            one_shot=accuracy,
            closeness=measure(
                left.embeddings,
                None if right is None else right.embeddings,
                scored.genuine_pairs,
                scored.impostor_pairs,
            ),
        )

    @torch.no_grad()
    def _embedded(self, network: SiameseNetwork, side: Side) -> EmbeddedFolder:
        whole, images = self._pixels.folder, self._pixels.images
        folder = whole.on(side)
        if whole.two_sided:
            images = images[torch.from_numpy(whole.on_right == (side is Side.RIGHT))]
        parts = [
            network.embed(some.to(self._device), side).cpu() for some in torch.split(images, _BATCH)
        ]
        embeddings = torch.cat(parts)
        if not bool(torch.isfinite(embeddings).all()):
            raise Derailed.unless("the network's embeddings are no longer numbers; ", LOWER_RATE)
        return EmbeddedFolder(embeddings, folder, (), side)


def with_pairs(folder: ImageFolder) -> ImageFolder | None:
    """The classes that have a pair of images; None if fewer than two do."""
    paired = np.flatnonzero(have_pairs(folder)).tolist()
    return folder.subset(paired) if len(paired) >= 2 else None
