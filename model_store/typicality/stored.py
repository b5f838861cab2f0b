"""The description of a model's own kind of images as a file, and what its manifest says of that."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model_store.errors import StoreError
from model_store.network.siamese import Side
from model_store.recorded import FileRecord, check_recorded
from model_store.typicality.description import TAIL, SideTypicality, Typicality
from model_store.typicality.measures import ClassCentres, Measures, Residuals, Subspace
from model_store.typicality.pixels import COUNT, Pixels


class TypicalityRecord(FileRecord):
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

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    level: Annotated[float, Field(gt=0, lt=1)]
    images: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=1)]
    data: str
    data_digest: str = ""


def to_bytes(typicality: Typicality) -> bytes:
    """As the safetensors file that `from_bytes` reads; directions are rounded to float16."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for side, one in typicality.sides.items():
        tensors |= {f"{side}.{name}": tensor for name, tensor in _measures_out(one.measures)}
        if one.pixels is not None:
            tensors[f"{side}.pixels.mean"] = one.pixels.mean
            tensors[f"{side}.pixels.whitening"] = one.pixels.whitening
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
    reference = _finite(tensors, f"{side}.reference").astype(np.float64)
    if reference.ndim != 1 or len(reference) <= TAIL:
        raise ValueError(f"{side}.reference has shape {reference.shape}")
    if (np.diff(reference) < 0).any():
        raise ValueError(f"{side}.reference does not ascend")
    pixels = None
    if f"{side}.pixels.mean" in tensors:
        pixels = Pixels(
            _row(tensors, f"{side}.pixels.mean", COUNT).astype(np.float32),
            _rows(tensors, f"{side}.pixels.whitening", COUNT),
        )
    count = 2 if pixels is None else 3
    centre = _row(tensors, f"{side}.centre", count)
    spread = _row(tensors, f"{side}.spread", count)
    if (spread <= 0).any():
        raise ValueError(f"{side}.spread has values that are not above 0")
    return SideTypicality(
        measures=_measures_in(tensors, side, dimension),
        centre=centre,
        spread=spread,
        reference=reference,
        pixels=pixels,
    )


def _measures_out(measures: Measures) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    """Each of their tensors, by name."""
    if isinstance(measures, ClassCentres):
        yield "classes", measures.directions.astype(np.float16)
        return
    if not isinstance(measures, Residuals):
        raise TypeError(f"{type(measures).__name__} has no form in a file")
    for view, subspace in (("raw", measures.raw), ("unit", measures.unit)):
        yield f"{view}.mean", subspace.mean.astype(np.float32)
        yield f"{view}.directions", subspace.directions.astype(np.float16)


def _measures_in(
    tensors: Mapping[str, npt.NDArray[np.generic]], side: Side, dimension: int
) -> Measures:
    if f"{side}.classes" in tensors:
        classes = _rows(tensors, f"{side}.classes", dimension)
        # Of directions of a subspace there may be none.
        if not len(classes):
            raise ValueError(f"{side}.classes has shape {classes.shape}")
        return ClassCentres(classes)
    raw, unit = (
        Subspace(
            _row(tensors, f"{side}.{view}.mean", dimension).astype(np.float32),
            _rows(tensors, f"{side}.{view}.directions", dimension),
        )
        for view in ("raw", "unit")
    )
    return Residuals(raw, unit)


def _row(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, dimension: int
) -> npt.NDArray[np.float64]:
    found = _finite(tensors, name)
    if found.shape != (dimension,):
        raise ValueError(f"{name} has shape {found.shape}")
    return found.astype(np.float64)


def _rows(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, dimension: int
) -> npt.NDArray[np.float32]:
    found = _finite(tensors, name)
    if found.ndim != 2 or found.shape[1] != dimension:
        raise ValueError(f"{name} has shape {found.shape}")
    return found.astype(np.float32)


def _finite(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str
) -> npt.NDArray[np.floating[Any]]:
    """A tensor of numbers, all of them: what is compared with NaN is typical, however far out."""
    found: npt.NDArray[Any] = tensors[name]
    if not np.issubdtype(found.dtype, np.floating):
        raise ValueError(f"{name} holds {found.dtype} and no floating-point numbers")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} has values that are not finite")
    return found
