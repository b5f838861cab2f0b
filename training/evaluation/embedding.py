"""Embedding a whole folder of images: the first step of evaluation and calibration."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from model_store.cpus import available_cpus
from model_store.network import SiameseNetwork, Side
from model_store.preprocessing import Preprocessing, UInt8Image
from model_store.typicality import Statistics, Typicality, pixel_statistics
from training.data.folders import ImageFolder
from training.data.pixels import prepared_item
from training.data.sources import Skipped
from training.errors import DataError
from training.progress import Reporter
from training.threads import threads

# On a CPU the activations of larger batches leave the caches, and take longer an image.
_CPU_BATCH = 16
_BATCH = 128


@dataclass(frozen=True)
class EmbeddedFolder:
    """A folder of images, embedded.

    Attributes:
        embeddings: float32 (N, dimension), on the CPU.
        folder: The images, without those that could not be decoded.
        skipped: Those, each with the reason; what `folder.skipped` had before is not repeated.
        side: The side that the images were embedded on.
        lengths: float32 (N,), the lengths of the features that embeddings were made of; None where
            nobody asked for more than embeddings.
        pixels: float32 (N, 12), from `pixel_statistics`, of the images; None likewise.
    """

    embeddings: torch.Tensor
    folder: ImageFolder
    skipped: tuple[Skipped, ...]
    side: Side = Side.LEFT
    lengths: torch.Tensor | None = None
    pixels: Statistics | None = None

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """int64 (N,), the class of each."""
        return self.folder.labels

    @property
    def features(self) -> torch.Tensor:
        """float32 (N, dimension), what embeddings were made of.

        Raises:
            ValueError: Their lengths were not kept.
        """
        if self.lengths is None:
            raise ValueError("these embeddings were made without keeping their features' lengths")
        return functional.normalize(self.embeddings, dim=1) * self.lengths[:, None]

    @property
    def statistics(self) -> Statistics:
        """float32 (N, 12), what the images' pixels look like.

        Raises:
            ValueError: They were not kept.
        """
        if self.pixels is None:
            raise ValueError("these embeddings were made without keeping what pixels look like")
        return self.pixels

    def typicality(self, description: Typicality) -> npt.NDArray[np.float64]:
        """float64 (N,), how typical each image is by a model's description.

        Raises:
            ValueError: What that needs was not kept.
        """
        return description.of(self.features.numpy(), self.statistics, self.side)

    def on(self, side: Side) -> "EmbeddedFolder":
        """Only the images of one side, where the folder has both; as they were embedded."""
        if not self.folder.two_sided:
            return self
        kept = self.folder.on_right == (side is Side.RIGHT)
        return self._only(kept, self.folder.on(side))

    def subset(self, labels: list[int]) -> "EmbeddedFolder":
        """Only those classes, relabelled from 0, order kept."""
        kept = np.isin(self.labels, labels)
        return self._only(kept, self.folder.subset(labels))

    def only(self, rows: npt.NDArray[np.int64]) -> "EmbeddedFolder":
        """Only the images at those rows, order kept; a class that has none is gone too."""
        kept = np.zeros(len(self.labels), dtype=np.bool_)
        kept[rows] = True
        return self._only(kept, self.folder.only(rows))

    def _only(self, kept: npt.NDArray[np.bool_], folder: ImageFolder) -> "EmbeddedFolder":
        rows = torch.from_numpy(kept)
        return EmbeddedFolder(
            self.embeddings[rows],
            folder,
            self.skipped,
            self.side,
            None if self.lengths is None else self.lengths[rows],
            None if self.pixels is None else self.pixels[kept],
        )


@dataclass(frozen=True)
class Sides:
    """Images embedded for comparison.

    Attributes:
        left: Those that stand left in pairs.
        right: Those that stand right: other images, or the same by a branch of their own; None
            where pairs are within `left`.
        gallery: `right`, where it is what a user gives for others to be compared with.
    """

    left: EmbeddedFolder
    right: EmbeddedFolder | None
    gallery: EmbeddedFolder | None = None

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that could not be used, once each."""
        both = [self.left.skipped, self.right.skipped if self.right else ()]
        return tuple(dict.fromkeys(entry for part in both for entry in part))


def sides_differ(network: SiameseNetwork, folder: ImageFolder) -> bool:
    """Whether pairs of a folder's images need the right side embedded, too."""
    return folder.two_sided or not network.shares_weights


def embed_folder(
    network: SiameseNetwork,
    folder: ImageFolder,
    *,
    device: torch.device | str = "cpu",
    side: Side = Side.LEFT,
    batch: int | None = None,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> EmbeddedFolder:
    """Decodes and embeds every image of a folder, in evaluation mode, in float32.

    An image that cannot be read or decoded is left out and named in `skipped`.

    Args:
        network: Moved to the device; the mode of its parts is put back afterwards.
        folder: The images.
        device: Where the network runs.
        side: Of no account where the sides share weights.
        batch: Images per forward pass; 16 on a CPU and 128 elsewhere if not given.
        workers: Threads that decode; one per available core if not given.
        on_progress: Told how many images are done, after every batch.

    Raises:
        DataError: Not one image could be decoded; the message gives the first reason.
    """
    # Module by module, because a fit may hold some of them (a frozen backbone) in another mode.
    modes = [(module, module.training) for module in network.modules()]
    network = network.to(device).eval()
    if batch is None:
        batch = _CPU_BATCH if torch.device(device).type == "cpu" else _BATCH
    try:
        with torch.inference_mode():
            chunks, skipped = _embed(network, folder, side, batch, workers, on_progress, device)
    finally:
        for module, mode in modes:
            module.training = mode
    if not chunks:
        first = skipped[0] if skipped else Skipped("", "the folder has no images")
        raise DataError(
            f"{folder.source}: not one image could be used ({first.shown}: {first.reason}); "
            "check that the files are images"
        )
    rest = folder.without({entry.key for entry in skipped}) if skipped else folder
    # A clone, because tensors made in inference mode refuse to take part in training later.
    embeddings, lengths, pixels = (torch.cat(parts).clone() for parts in zip(*chunks, strict=True))
    return EmbeddedFolder(embeddings, rest, tuple(skipped), side, lengths, pixels.numpy())


def embed_told(
    network: SiameseNetwork,
    folder: ImageFolder,
    title: str,
    *,
    device: torch.device,
    reporter: Reporter,
    side: Side = Side.LEFT,
) -> EmbeddedFolder:
    """As `embed_folder`, the reporter being told how far it is."""
    with reporter.task(title, len(folder.items)) as task:
        return embed_folder(network, folder, device=device, side=side, on_progress=task.update)


def embed_sides(
    network: SiameseNetwork,
    folder: ImageFolder,
    title: str,
    *,
    device: torch.device,
    reporter: Reporter,
) -> Sides:
    """Embeds both sides of a folder, as `embed_told` does; the right one only where it differs."""

    def embedded(part: ImageFolder, side: Side) -> EmbeddedFolder:
        return embed_told(network, part, title, device=device, reporter=reporter, side=side)

    left = embedded(folder.on(Side.LEFT), Side.LEFT)
    if not sides_differ(network, folder):
        return Sides(left, None)
    # What could not be decoded for one side need not be tried for the other.
    part = folder.on(Side.RIGHT) if folder.two_sided else left.folder
    return Sides(left, embedded(part, Side.RIGHT))


def _embed(
    network: SiameseNetwork,
    folder: ImageFolder,
    side: Side,
    batch: int,
    workers: int | None,
    on_progress: Callable[[int], None] | None,
    device: torch.device | str,
) -> tuple[list[tuple[torch.Tensor, ...]], list[Skipped]]:
    """Of each batch embeddings, their features' lengths and pixels; and what was left out."""
    chunks: list[tuple[torch.Tensor, ...]] = []
    skipped: list[Skipped] = []
    waiting: list[UInt8Image] = []

    def flush() -> None:
        if waiting:
            images = np.stack(waiting)
            features = network.features(torch.from_numpy(images).to(device), side)
            chunks.append(
                (
                    network.finish(features, side).cpu(),
                    features.norm(dim=1).cpu(),
                    torch.from_numpy(pixel_statistics(images)),
                )
            )
            waiting.clear()

    total = len(folder.items)
    for done, result in enumerate(_prepared(folder, network.preprocessing, workers, batch), 1):
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            waiting.append(result)
        if len(waiting) == batch or done == total:
            flush()
            if on_progress is not None:
                on_progress(done)
    return chunks, skipped


def _prepared(
    folder: ImageFolder, spec: Preprocessing, workers: int | None, ahead: int
) -> Iterator[UInt8Image | Skipped]:
    """Decodes in threads, in order, at most two batches ahead of the network."""
    pending: deque[Future[UInt8Image | Skipped]] = deque()
    with threads(workers or available_cpus(), "decode") as pool:
        for item in folder.items:
            pending.append(pool.submit(prepared_item, folder, item, spec))
            if len(pending) > 2 * ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
