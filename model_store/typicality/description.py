"""Where the features of a model's own kind of images lie, and how far outside others are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.network.siamese import Side
from model_store.preprocessing import UInt8Image
from model_store.typicality.measures import Floats, Measures
from model_store.typicality.pixels import Pixels, Statistics, pixel_statistics
from model_store.vectors import squared_lengths

LEAST = 1e-9
"""The smallest typicality: beyond it, how much farther an image lies says nothing more."""

TAIL = 10
"""Of so many of the farthest calibration images, the spread tells how fast the tail falls."""


@dataclass(frozen=True)
class SideTypicality:
    """The description of one side's features.

    Attributes:
        measures: What shows in its features that an image is of another kind.
        centre: float64 (3,), the median of each measure over calibration images, pixels last;
            (2,) without them.
        spread: Likewise, its standard deviation over them, > 0.
        reference: float64 (N,), ascending: the distances of the calibration images, each measured
            by a description that had not seen its class.
        pixels: What their pixels look like; None where that does not count.
    """

    measures: Measures
    centre: Floats
    spread: Floats
    reference: Floats
    pixels: Pixels | None = None

    def distances(self, features: npt.NDArray[np.float32], statistics: Statistics | None) -> Floats:
        """How far features lie outside: by how many standard deviations measures exceed theirs.

        Lengths tell images of another kind from characters, directions tell them from photographs;
        neither does both, so each measure counts where it is above the median.

        Args:
            features: float32 (N, dimension), from `SiameseNetwork.features`.
            statistics: float32 (N, 12), from `pixel_statistics`, of the images; of no account
                where pixels are not.

        Returns:
            float64 (N,), ≥ 0.
        """
        found = measured(self.measures, self.pixels, features, statistics)
        return combine(found, self.centre, self.spread)

    def of(self, features: npt.NDArray[np.float32], statistics: Statistics | None) -> Floats:
        """The typicality of each image.

        Returns:
            float64 (N,), in (0, 1]: see `tail_share`.
        """
        return tail_share(self.reference, self.distances(features, statistics))


@dataclass(frozen=True)
class Typicality:
    """The description of a model's inputs.

    Attributes:
        sides: By side; the left one stands for both where they share weights.
        level: An image is in distribution if its typicality is at least this. So many of the
            images that the description was made for are expected below it.
        images: Images it was fitted to.
        classes: Classes these are of.
        data: What they were, in words.
        data_digest: SHA-256 over them, or empty if they are not files.
    """

    sides: Mapping[Side, SideTypicality]
    level: float
    images: int
    classes: int
    data: str = ""
    data_digest: str = ""

    def look(self, images: UInt8Image) -> Statistics | None:
        """What `of` wants to know of images beside their features.

        Args:
            images: uint8 (N, height, width, channels), prepared for the network.

        Returns:
            float32 (N, 12), from `pixel_statistics`; None where pixels do not count.
        """
        if all(one.pixels is None for one in self.sides.values()):
            return None
        return pixel_statistics(images)

    def of(
        self,
        features: npt.NDArray[np.float32],
        statistics: Statistics | None,
        side: Side = Side.LEFT,
    ) -> Floats:
        """The typicality of images.

        Args:
            features: float32 (N, dimension), from `SiameseNetwork.features`.
            statistics: From `look`, or `pixel_statistics`, of the images.
            side: The side they are on.

        Returns:
            float64 (N,), in (0, 1]: the share of the model's own kind that lies as far out. Over
            images of that kind it is uniform, whatever the model, but that the nearest, which lie
            within the median on every count, get 1.
        """
        return self.sides.get(side, self.sides[Side.LEFT]).of(features, statistics)

    def calibration_shares(self, edges: Sequence[float]) -> list[float]:
        """Of the calibration's own images, the share whose typicality is at most each edge."""
        own = np.concatenate(
            [tail_share(one.reference, one.reference) for one in self.sides.values()]
        )
        return [float((own <= edge).mean()) for edge in edges]


def measured(
    measures: Measures,
    pixels: Pixels | None,
    features: npt.NDArray[np.float32],
    statistics: Statistics | None,
) -> Floats:
    """Features (N, dimension), statistics (N, 12) → float64 (N, 3), or (N, 2) without pixels."""
    found = measures.of(features)
    if pixels is None:
        return found
    if statistics is None:
        raise ValueError("what the images' pixels look like counts, and is not given")
    return np.column_stack([found, pixels.distance(statistics)])


def combine(found: Floats, centre: Floats, spread: Floats) -> Floats:
    """Measures (N, 3) → distances (N,), as `SideTypicality.distances` has them."""
    return np.asarray(np.sqrt(squared_lengths(np.maximum((found - centre) / spread, 0))))


def tail_share(reference: Floats, distances: Floats) -> Floats:
    """The share of images of a kind that lie at least as far out.

    Within the reference it is the conformal p-value (1 + how many lie as far) / (1 + how many
    there are): Laxhammar, Falkman 2010; Bates et al. 2023 (arXiv 2104.08279), equation 2. Beyond
    the tenth farthest, where counting ends, the tail goes on as an exponential whose scale is the
    mean excess over it of the nine beyond it (peaks over threshold, Pickands 1975, with shape 0).

    Args:
        reference: float64 (N,), ascending, N ≥ 11.
        distances: float64 (M,).

    Returns:
        float64 (M,), from `LEAST` to 1; 1 is typical.
    """
    count = len(reference)
    shares: Floats = (1 + count - np.searchsorted(reference, distances)) / (1 + count)
    edge = reference[-TAIL]
    beyond = distances > edge
    if beyond.any():
        scale = max(float((reference[1 - TAIL :] - edge).mean()), 1e-6 * (1 + abs(float(edge))))
        begin = (1 + TAIL) / (1 + count)
        shares[beyond] = begin * np.exp((edge - distances[beyond]) / scale)
    return np.maximum(shares, LEAST)


def in_distribution(level: float | None, *typicality: float | None) -> bool | None:
    """Whether all of some images are typical.

    Args:
        level: The least typicality that counts as in distribution; None where the model has none.
        typicality: Of each image; None for one that is not known.

    Returns:
        False if one is known not to be; else None if one is not known; else True.
    """
    if level is None or not typicality:
        return None
    if any(value is not None and value < level for value in typicality):
        return False
    return None if None in typicality else True
