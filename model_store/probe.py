"""Whether a network computes here what it computed when it was saved: known pictures tell.

A checkpoint whose every bit is right may still give other embeddings: with another version of
PyTorch, a layer that was changed in our code, or a CPU whose kernels are wrong. So what the network
made of a few pictures lies beside its weights, and the pictures too: drawn anew by other versions
of the libraries they might not be the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from model_store.errors import StoreError
from model_store.network.siamese import SiameseNetwork, Side
from model_store.pictures import drawn
from model_store.recorded import FileRecord, check_recorded

_IMAGES = "images"


class ProbeRecord(FileRecord):
    """What a manifest says of the probe beside the weights.

    Attributes:
        sha256: As `FileRecord`.
        bytes: As `FileRecord`.
        torch: The version of PyTorch that computed the features.
    """

    torch: str


@dataclass(frozen=True)
class Probe:
    """Pictures, and what a network makes of them.

    Attributes:
        images: uint8 (N, height, width, channels), prepared for the network.
        features: For each side whose embeddings differ, float32 (N, dimension), computed in
            float32 on a CPU.
        torch: The version of PyTorch that computed them.
    """

    images: npt.NDArray[np.uint8]
    features: Mapping[Side, npt.NDArray[np.float32]]
    torch: str

    @classmethod
    def of(cls, network: SiameseNetwork) -> "Probe":
        """What a network makes of pictures of the kind that it takes.

        Args:
            network: In evaluation mode, float32, on the CPU.
        """
        images = drawn(network.preprocessing, network.subject)
        with torch.inference_mode():
            features = {
                side: network.features(torch.from_numpy(images), side).numpy()
                for side in network.sides
            }
        return cls(images, features, torch.__version__)

    @property
    def finite(self) -> bool:
        """Whether all features are numbers."""
        return all(bool(np.isfinite(rows).all()) for rows in self.features.values())

    def to_bytes(self) -> bytes:
        """As the safetensors file that `from_bytes` reads."""
        named = {str(side): rows for side, rows in self.features.items()}
        tensors: dict[str, npt.NDArray[np.generic]] = {_IMAGES: self.images, **named}
        return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})

    def record(self, data: bytes) -> ProbeRecord:
        """What the manifest must say of the file.

        Args:
            data: From `to_bytes`.
        """
        return ProbeRecord(
            sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), torch=self.torch
        )


def from_bytes(
    data: bytes, record: ProbeRecord, shape: tuple[int, int, int], dimension: int
) -> Probe:
    """Reads what `Probe.to_bytes` wrote.

    Args:
        data: The file's bytes.
        record: What the manifest says of it.
        shape: Height, width and channels of the network's input.
        dimension: Values that features have.

    Raises:
        StoreError: Another file than the record's, or not the probe of such a network.
    """
    check_recorded(data, record)
    try:
        tensors = load_tensors(data)
        images = tensors.pop(_IMAGES)
        features = {Side(name): rows for name, rows in tensors.items()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"it holds no probe: {error}") from error
    count = len(images)
    fits = images.shape == (count, *shape) and images.dtype == np.uint8
    for rows in features.values():
        fits = fits and rows.shape == (count, dimension) and rows.dtype == np.float32
    if not count or Side.LEFT not in features or not fits:
        raise StoreError(
            f"it holds no probe of a network for images of {shape} and features of {dimension} "
            "values"
        )
    return Probe(images, features, record.torch)
