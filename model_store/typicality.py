"""How typical an image is of those that a model was calibrated on: knowing when not to know.

A picture of another kind (a face shown to a model of characters) gets an embedding and a score all
the same. What gives it away is that its features do not lie where those of the model's own kind
do. `training` fits the description; `app` judges by it. Both through this code.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model_store.errors import StoreError
from model_store.network.siamese import Side

Floats = npt.NDArray[np.float64]

LEAST = 1e-9
"""The smallest typicality: beyond it, how much farther an image lies says nothing more."""

# Of so many of the farthest calibration images, the spread tells how fast the tail falls.
_TAIL = 10


class TypicalityRecord(BaseModel):
    """What a manifest says of the description beside the weights.

    Attributes:
        sha256: Digest of the file's bytes.
        bytes: Its size.
        level: An image is in distribution if its typicality is at least this. So many of the
            images that the description was made for are expected below it.
        images: Images it was fitted to.
        classes: Classes these are of.
        data: What they were, in words.
        data_digest: SHA-256 over them, or empty if they are not files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1)]
    level: Annotated[float, Field(gt=0, lt=1)]
    images: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=1)]
    data: str
    data_digest: str = ""


@dataclass(frozen=True)
class Subspace:
    """Where vectors of one kind lie: around a mean, along a few directions.

    Attributes:
        mean: float32 (dimension,).
        directions: float32 (k, dimension), the principal components: orthonormal, but for the
            rounding of a file they were read from.
    """

    mean: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]

    @cached_property
    def basis(self) -> npt.NDArray[np.float32]:
        """(k, dimension): the directions, orthonormal to float32's rounding.

        Rounded to float16 they are no longer orthonormal enough to subtract squares.
        """
        return np.ascontiguousarray(np.linalg.qr(self.directions.T)[0].T)

    def residual(self, rows: npt.NDArray[np.float32]) -> Floats:
        """How far vectors lie from the subspace.

        The "distance from feature space" of Moghaddam, Pentland (1995), equation 10.

        Args:
            rows: float32 (N, dimension).

        Returns:
            float64 (N,), ≥ 0.
        """
        centred = rows - self.mean
        within = centred @ self.basis.T
        squares = (centred**2).sum(axis=1) - (within**2).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(squares, 0)), dtype=np.float64)


@dataclass(frozen=True)
class SideTypicality:
    """The description of one side's features.

    Attributes:
        raw: Where features lie.
        unit: Where features scaled to unit length lie.
        centre: float64 (2,), the median residual of calibration images from each.
        spread: float64 (2,), the standard deviation of these residuals, > 0.
        reference: float64 (N,), ascending: the distances of the calibration images, each measured
            by a description that had not seen its class.
    """

    raw: Subspace
    unit: Subspace
    centre: Floats
    spread: Floats
    reference: Floats

    def distances(self, features: npt.NDArray[np.float32]) -> Floats:
        """How far features lie outside: by how many standard deviations residuals exceed theirs.

        Lengths tell images of another kind from characters, directions tell them from photographs;
        neither does both, so each residual counts where it is above the median.

        Args:
            features: float32 (N, dimension), from `SiameseNetwork.features`.

        Returns:
            float64 (N,), ≥ 0.
        """
        return combine(residuals(self.raw, self.unit, features), self.centre, self.spread)

    def of(self, features: npt.NDArray[np.float32]) -> Floats:
        """The typicality of each image.

        Returns:
            float64 (N,), in (0, 1]: see `tail_share`.
        """
        return tail_share(self.reference, self.distances(features))


@dataclass(frozen=True)
class Typicality:
    """The description of a model's inputs.

    Attributes:
        sides: By side; the left one stands for both where they share weights.
        level: As `TypicalityRecord`.
        images: As `TypicalityRecord`.
        classes: As `TypicalityRecord`.
        data: As `TypicalityRecord`.
        data_digest: As `TypicalityRecord`.
    """

    sides: Mapping[Side, SideTypicality]
    level: float
    images: int
    classes: int
    data: str = ""
    data_digest: str = ""

    def of(self, features: npt.NDArray[np.float32], side: Side = Side.LEFT) -> Floats:
        """The typicality of images.

        Args:
            features: float32 (N, dimension), from `SiameseNetwork.features`.
            side: The side they are on.

        Returns:
            float64 (N,), in (0, 1]: the share of the model's own kind that lies as far out. Over
            images of that kind it is uniform, whatever the model, but that the nearest third or
            so, which lie within the median on both counts, get 1.
        """
        return self.sides.get(side, self.sides[Side.LEFT]).of(features)

    def calibration_shares(self, edges: Sequence[float]) -> list[float]:
        """Of the calibration's own images, the share whose typicality is at most each edge."""
        own = np.concatenate(
            [tail_share(one.reference, one.reference) for one in self.sides.values()]
        )
        return [float((own <= edge).mean()) for edge in edges]

    def to_bytes(self) -> bytes:
        """As the safetensors file that `from_bytes` reads; directions are rounded to float16."""
        tensors: dict[str, npt.NDArray[np.generic]] = {}
        for side, one in self.sides.items():
            for view, subspace in (("raw", one.raw), ("unit", one.unit)):
                tensors[f"{side}.{view}.mean"] = subspace.mean.astype(np.float32)
                tensors[f"{side}.{view}.directions"] = subspace.directions.astype(np.float16)
            tensors[f"{side}.centre"] = one.centre
            tensors[f"{side}.spread"] = one.spread
            tensors[f"{side}.reference"] = one.reference.astype(np.float32)
        # The library writes memory as it lies, which for a transposed array is not row by row.
        return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})

    def record(self, data: bytes) -> TypicalityRecord:
        """What the manifest must say of the file.

        Args:
            data: From `to_bytes`.
        """
        return TypicalityRecord(
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            level=self.level,
            images=self.images,
            classes=self.classes,
            data=self.data,
            data_digest=self.data_digest,
        )


def from_bytes(data: bytes, record: TypicalityRecord, dimension: int) -> Typicality:
    """Reads what `Typicality.to_bytes` wrote.

    Args:
        data: The file's bytes.
        record: What the manifest says of it.
        dimension: Values that features have.

    Raises:
        StoreError: Another file than the record's, or not a description of such features.
    """
    if len(data) != record.bytes or hashlib.sha256(data).hexdigest() != record.sha256:
        raise StoreError("it is not the file that the manifest describes")
    try:
        tensors = load_tensors(data)
        sides = {
            side: _side(tensors, side, dimension) for side in Side if f"{side}.centre" in tensors
        }
        return Typicality(
            sides={Side.LEFT: sides[Side.LEFT], **sides},
            level=record.level,
            images=record.images,
            classes=record.classes,
            data=record.data,
            data_digest=record.data_digest,
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"it does not describe features of {dimension} values: {error}") from error


def residuals(raw: Subspace, unit: Subspace, features: npt.NDArray[np.float32]) -> Floats:
    """Of features (N, dimension): float64 (N, 2), as they are and scaled to unit length."""
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return np.stack([raw.residual(features), unit.residual(features / lengths)], axis=1)


def combine(found: Floats, centre: Floats, spread: Floats) -> Floats:
    """Residuals (N, 2) → distances (N,), as `SideTypicality.distances` has them."""
    return np.asarray(np.linalg.norm(np.maximum((found - centre) / spread, 0), axis=1))


def tail_share(reference: Floats, distances: Floats) -> Floats:
    """The share of images of a kind that lie at least as far out.

    Within the reference it is the conformal p-value (1 + how many lie as far) / (1 + how many
    there are): Laxhammar, Falkman 2010; Bates et al. 2023 (arXiv 2104.08279), equation 2. Beyond
    the tenth farthest, where counting ends, the tail goes on as an exponential whose scale is the
    mean excess there (peaks over threshold, Pickands 1975, with shape 0).

    Args:
        reference: float64 (N,), ascending, N ≥ 11.
        distances: float64 (M,).

    Returns:
        float64 (M,), from `LEAST` to 1; 1 is typical.
    """
    count = len(reference)
    shares = (1 + count - np.searchsorted(reference, distances, side="left")) / (1 + count)
    edge = reference[-_TAIL]
    scale = max(float((reference[-_TAIL:] - edge).mean()), 1e-6 * (1 + abs(float(edge))))
    begin = (1 + _TAIL) / (1 + count)
    beyond = begin * np.exp(-np.maximum(distances - edge, 0) / scale)
    return np.asarray(np.maximum(np.where(distances > edge, beyond, shares), LEAST))


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


def _side(
    tensors: Mapping[str, npt.NDArray[np.generic]], side: Side, dimension: int
) -> SideTypicality:
    views = []
    for view in ("raw", "unit"):
        mean = tensors[f"{side}.{view}.mean"].astype(np.float32)
        directions = tensors[f"{side}.{view}.directions"].astype(np.float32)
        if directions.ndim != 2:
            raise ValueError(f"{side}.{view}.directions has shape {directions.shape}")
        if mean.shape != (dimension,) or directions.shape[1:] != (dimension,):
            raise ValueError(f"{side}.{view} has shapes {mean.shape} and {directions.shape}")
        views.append(Subspace(mean, directions))
    reference = tensors[f"{side}.reference"].astype(np.float64)
    if reference.ndim != 1 or len(reference) <= _TAIL:
        raise ValueError(f"{side}.reference has shape {reference.shape}")
    return SideTypicality(
        raw=views[0],
        unit=views[1],
        centre=tensors[f"{side}.centre"].astype(np.float64),
        spread=tensors[f"{side}.spread"].astype(np.float64),
        reference=reference,
    )
