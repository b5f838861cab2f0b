"""Reading a checkpoint: a folder with `manifest.json`, `weights.safetensors` and what else.

Weights are safetensors, never pickle: loading a checkpoint runs no code from it.
"""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from model_store import manifest as manifests
from model_store import probe as probes
from model_store import typicality as typicalities
from model_store.errors import CheckpointDamaged, StoreError
from model_store.files import MOST_TEXT, read_data
from model_store.manifest import Manifest
from model_store.network.bound import AtMost
from model_store.network.siamese import SiameseNetwork
from model_store.probe import Probe
from model_store.recorded import is_recorded
from model_store.typicality import Typicality

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
TYPICALITY = "typicality.safetensors"
PROBE = "probe.safetensors"

STORED_TYPES = {"float32": torch.float32, "float16": torch.float16}
"""What weights may be stored as, by the names manifests use."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, ready to compare.

    Attributes:
        manifest: What it says of itself.
        network: In evaluation mode, float32, without gradients, on the CPU.
        path: The folder it came from.
        typicality: What tells its own kind of images from others; None where that is not known.
        probe: What the network made of known pictures when it was saved; None where that is not
            stored.
    """

    manifest: Manifest
    network: SiameseNetwork
    path: Path
    typicality: Typicality | None = None
    probe: Probe | None = None

    @cached_property
    def reference(self) -> Probe:
        """What the network made of known pictures: as stored, else what it makes of them now."""
        return self.probe or Probe.of(self.network)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the checkpoint in a folder.

    Raises:
        CheckpointDamaged, FormatTooNew: As `manifest.from_bytes`; or the file is missing.
    """
    path = folder / MANIFEST
    return manifests.from_bytes(_read(path, MOST_TEXT), path)


def load(folder: Path) -> Checkpoint:
    """Loads a checkpoint by its manifest alone.

    Raises:
        CheckpointDamaged: A file is missing or is not what its digest says, or the weights do not
            fit the network, or are far fewer than it takes.
        FormatTooNew: A newer Twinlens wrote it.
        UnknownComponent: The network has a part that this Twinlens does not know.
    """
    manifest = read_manifest(folder)
    data = read_weights(folder, manifest)
    try:
        with AtMost(len(data) // STORED_TYPES[manifest.weights.dtype].itemsize):
            network = SiameseNetwork(manifest.network, manifest.preprocessing)
    except StoreError as error:
        raise type(error)(f"{folder / MANIFEST}: {error}") from error
    if network.comparator.metric is not manifest.metric or network.dimension != manifest.dimension:
        raise CheckpointDamaged(
            f"{folder / MANIFEST} promises {manifest.metric} on {manifest.dimension} values, and "
            f"its network gives {network.comparator.metric} on {network.dimension}; train again"
        )
    try:
        network.load_state_dict(load_tensors(data))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointDamaged(
            f"{folder / WEIGHTS} does not fit the network in {MANIFEST}: {error}"
        ) from error
    return Checkpoint(
        manifest,
        network.eval().requires_grad_(False),
        folder,
        read_typicality(folder, manifest),
        read_probe(folder, manifest),
    )


def read_weights(folder: Path, manifest: Manifest) -> bytes:
    """The bytes of the file with the weights.

    Args:
        folder: Where it lies beside the manifest.
        manifest: What is said of it.

    Raises:
        CheckpointDamaged: The file is missing, or its size or digest are not the manifest's.
    """
    path, expected = folder / WEIGHTS, manifest.weights
    data = _read(path, expected.bytes)
    if not is_recorded(data, expected):
        raise CheckpointDamaged(
            f"{path} is not the file its manifest describes ({len(data):,} bytes here, "
            f"{expected.bytes:,} there, or another digest); restore it from a copy or train again"
        )
    return data


def check_size(folder: Path, manifest: Manifest) -> None:
    """Looks at the file with the weights without reading it; arguments as `read_weights` has them.

    Raises:
        CheckpointDamaged: The file is missing, or its size is not the manifest's.
    """
    path, expected = folder / WEIGHTS, manifest.weights.bytes
    found = path.stat().st_size if path.is_file() else 0
    if found != expected:
        raise CheckpointDamaged(
            f"{path} has {found:,} of {expected:,} bytes; restore it from a copy, or train or "
            "import it again"
        )


def read_typicality(folder: Path, manifest: Manifest) -> Typicality | None:
    """The description of a model's own kind of images.

    Args:
        folder: Where it lies beside the manifest.
        manifest: What is said of it.

    Raises:
        CheckpointDamaged: The file is missing or is not what its digest says.
    """
    record = manifest.typicality
    if record is None:
        return None
    with _refusing(folder / TYPICALITY) as path:
        return typicalities.from_bytes(read_data(path, record.bytes), record, manifest.dimension)


def read_probe(folder: Path, manifest: Manifest) -> Probe | None:
    """What the network made of known pictures when it was saved.

    Args:
        folder: Where it lies beside the manifest.
        manifest: What is said of it.

    Raises:
        CheckpointDamaged: The file is missing or is not what its digest says.
    """
    record = manifest.probe
    if record is None:
        return None
    with _refusing(folder / PROBE) as path:
        return probes.from_bytes(
            read_data(path, record.bytes), record, manifest.preprocessing.shape, manifest.dimension
        )


def files_in(folder: Path, *, but: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each file of a checkpoint, one after the other.

    Args:
        folder: Where they lie.
        but: The names of those that are left out.

    Raises:
        CheckpointDamaged: One, or the folder, cannot be read. What is raised where they are
            written is another's.
    """
    with _refusing(folder):
        there = sorted(file for file in folder.iterdir() if file.name not in but)
    for file in there:
        with _refusing(file):
            data = read_data(file) if file.is_file() else None
        if data is not None:
            yield file.name, data


def _read(path: Path, most: int) -> bytes:
    try:
        return read_data(path, most)
    except OSError as error:
        raise CheckpointDamaged(
            f"{path} cannot be read ({error.strerror}); restore it from a copy or train again"
        ) from error


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[Path]:
    """Says of what goes wrong with a file which one it is, and what to do."""
    try:
        yield path
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    except StoreError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> CheckpointDamaged:
    return CheckpointDamaged(f"{path}: {reason}; restore it from a copy or train again")
