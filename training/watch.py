"""How well a network does on classes it does not train on, while it trains."""

from dataclasses import dataclass

import torch

from model_store.network import SiameseNetwork, Side
from training.data.folders import ImageFolder
from training.data.pixels import PixelsInMemory
from training.embedding import EmbeddedFolder
from training.evaluation.metrics import Ranking
from training.evaluation.pairs import score_folder
from training.evaluation.protocols.one_shot import one_shot
from training.randomness import Stream, numpy_generator

_PAIRS = 20_000
_TRIALS = 2_000
_BATCH = 128


@dataclass(frozen=True)
class Sight:
    """What was seen.

    Attributes:
        eer: Equal error rate.
        auc: Area under the ROC curve.
        one_shot: Accuracy of 20-way one-shot trials within groups; None without groups.
    """

    eer: float
    auc: float
    one_shot: float | None


class Watch:
    """Validates a network on images held in memory: the same images, pairs and trials each time.

    Args:
        pixels: The images.
        device: Where the network is.
        seed: Of the pairs and trials, where there are more than are looked at.
    """

    def __init__(self, pixels: PixelsInMemory, device: torch.device, seed: int) -> None:
        self._pixels = pixels
        self._device = device
        self._seed = seed

    def __call__(self, network: SiameseNetwork) -> Sight:
        """Looks at a network; its mode, and all random state, are as before afterwards."""
        training = network.training
        network.eval()
        try:
            left = self._embedded(network, Side.LEFT)
            right = None if network.shares_weights else self._embedded(network, Side.RIGHT)
        finally:
            network.train(training)
        scored = score_folder(
            network, left, right, seed=self._seed, max_impostors=_PAIRS, max_genuine=_PAIRS
        )
        roc = Ranking(scored.genuine_alike, scored.impostor_alike).roc()
        accuracy = None
        if len(left.folder.group_names) > 1:
            trials = one_shot(left, network, candidates=right, trials=_TRIALS, seed=self._seed)
            accuracy = trials.accuracy
        return Sight(eer=roc.eer(), auc=roc.auc(), one_shot=accuracy)

    @torch.no_grad()
    def _embedded(self, network: SiameseNetwork, side: Side) -> EmbeddedFolder:
        parts = [
            network.embed(images.to(self._device), side).cpu()
            for images in torch.split(self._pixels.images, _BATCH)
        ]
        folder = self._pixels.folder
        return EmbeddedFolder(torch.cat(parts), folder.labels, folder, (), side)


def some_classes(folder: ImageFolder, images: int, seed: int) -> ImageFolder:
    """Whole classes, drawn until they have so many images; at least two classes.

    Args:
        folder: What to draw from.
        images: Images that are enough.
        seed: Of the draw.
    """
    if len(folder.items) <= images:
        return folder
    counts = [0] * len(folder.classes)
    for label in folder.labels.tolist():
        counts[label] += 1
    order = numpy_generator(seed, Stream.VALIDATION).permutation(len(counts)).tolist()
    taken: list[int] = []
    while len(taken) < 2 or sum(counts[label] for label in taken) < images:
        taken.append(order[len(taken)])
    return folder.subset(taken)
