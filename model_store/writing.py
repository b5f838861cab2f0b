"""Writing the files of a checkpoint into a folder that has none of them yet."""

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from model_store import typicality as typicalities
from model_store.checkpoint import MANIFEST, PROBE, STORED_TYPES, TYPICALITY, WEIGHTS
from model_store.errors import StoreError
from model_store.files import write_durably
from model_store.manifest import StoredType, WeightsFile
from model_store.network.siamese import SiameseNetwork
from model_store.probe import Probe, ProbeRecord
from model_store.typicality import Typicality, TypicalityRecord


def write_weights(
    folder: Path, network: SiameseNetwork, dtype: StoredType = "float32"
) -> WeightsFile:
    """Writes a network's weights into a folder.

    Args:
        folder: Where `weights.safetensors` is made; it must not be there yet.
        network: Any device, any mode.
        dtype: float16 halves the file; values are rounded to 11 significant bits.

    Returns:
        What the manifest must say of the file.
    """
    tensors = {
        name: (tensor.to(STORED_TYPES[dtype]) if tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in network.state_dict().items()
    }
    data = save_tensors(tensors)
    write_durably(folder / WEIGHTS, data)
    return WeightsFile(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        dtype=dtype,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def stored_probe(folder: Path, network: SiameseNetwork) -> Probe:
    """What the network makes of known pictures with the weights that are in a folder.

    Args:
        folder: From `write_weights`.
        network: The network whose weights they are, perhaps rounded; it stays as it is.
    """
    read_back = copy.deepcopy(network).cpu().float().eval()
    read_back.load_state_dict(load_tensors((folder / WEIGHTS).read_bytes()))
    return Probe.of(read_back)


def write_typicality(folder: Path, typicality: Typicality | None) -> TypicalityRecord | None:
    """Writes a description, if there is one, into a folder that has none yet.

    Returns:
        What the manifest must say of it.
    """
    if typicality is None:
        return None
    data = typicalities.to_bytes(typicality)
    write_durably(folder / TYPICALITY, data)
    return typicalities.record_of(typicality, data)


def write_probe(folder: Path, probe: Probe) -> ProbeRecord:
    """Writes what a network made of known pictures into a folder that has no such file yet.

    Returns:
        What the manifest must say of it.
    """
    data = probe.to_bytes()
    write_durably(folder / PROBE, data)
    return probe.record(data)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes what belongs beside the weights: card, split, history, pictures."""
    for name, data in files.items():
        if Path(name).name != name or name in (MANIFEST, WEIGHTS, TYPICALITY, PROBE):
            raise StoreError(f"'{name}' cannot be the name of a file in a checkpoint")
        write_durably(folder / name, data)
