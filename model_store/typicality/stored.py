"""The description of a model's own kind of images as a file, and what its manifest says of that."""

import hashlib
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model_store.errors import StoreError
from model_store.network.siamese import Side
from model_store.recorded import FileRecord, check_recorded
from model_store.typicality.description import TAIL, SideTypicality, Subspace, Typicality


class TypicalityRecord(FileRecord):
    """What a manifest says of the description beside the weights.

    Attributes:
        sha256: As `FileRecord`.
        bytes: As `FileRecord`.
        level: As `Typicality`.
        images: As `Typicality`.
        classes: As `Typicality`.
        data: As `Typicality`.
        data_digest: As `Typicality`.
    """

    level: Annotated[float, Field(gt=0, lt=1)]
    images: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=1)]
    data: str
    data_digest: str = ""


def to_bytes(typicality: Typicality) -> bytes:
    """As the safetensors file that `from_bytes` reads; directions are rounded to float16."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for side, one in typicality.sides.items():
        for view, subspace in (("raw", one.raw), ("unit", one.unit)):
            tensors[f"{side}.{view}.mean"] = subspace.mean.astype(np.float32)
            tensors[f"{side}.{view}.directions"] = subspace.directions.astype(np.float16)
        tensors[f"{side}.centre"] = one.centre
        tensors[f"{side}.spread"] = one.spread
        tensors[f"{side}.reference"] = one.reference.astype(np.float32)
    # The library writes memory as it lies, which for a transposed array is not row by row.
    return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})


def record_of(typicality: Typicality, data: bytes) -> TypicalityRecord:
    """What the manifest must say of the file.

    Args:
        typicality: The description.
        data: What `to_bytes` made of it.
    """
    return TypicalityRecord(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        level=typicality.level,
        images=typicality.images,
        classes=typicality.classes,
        data=typicality.data,
        data_digest=typicality.data_digest,
    )


def from_bytes(data: bytes, record: TypicalityRecord, dimension: int) -> Typicality:
    """Reads what `to_bytes` wrote.

    Args:
        data: The file's bytes.
        record: What the manifest says of it.
        dimension: Values that features have.

    Raises:
        StoreError: Another file than the record's, or not a description of such features.
    """
    check_recorded(data, record)
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
    if reference.ndim != 1 or len(reference) <= TAIL:
        raise ValueError(f"{side}.reference has shape {reference.shape}")
    return SideTypicality(
        raw=views[0],
        unit=views[1],
        centre=tensors[f"{side}.centre"].astype(np.float64),
        spread=tensors[f"{side}.spread"].astype(np.float64),
        reference=reference,
    )
