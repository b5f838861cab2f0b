"""Models whose weights come in packages of others: brought into a store by one command.

What Twinlens adds to those weights (specification, calibration, figures) is committed here as
manifests; the weights are not.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from model_store import manifest as manifests
from model_store import probe as probes
from model_store import typicality as typicalities
from model_store.imports.dlib_face import face_tensors
from model_store.imports.efficientnet_lite import imagenet_tensors
from model_store.manifest import Manifest
from model_store.network.lookup import find
from model_store.network.siamese import SiameseNetwork
from model_store.probe import Probe
from model_store.store import ModelStore, Reference
from model_store.typicality import Typicality

_FOLDER = Path(__file__).parent
_WEIGHTS: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "faces": face_tensors,
    "photos": imagenet_tensors,
}


def importable() -> list[str]:
    """The names that `import_model` knows."""
    return sorted(_WEIGHTS)


def template(name: str) -> Manifest:
    """The manifest that an imported model gets, apart from its version.

    Raises:
        UnknownComponent: No such import.
    """
    find(_WEIGHTS, "importable model", name)
    path = _FOLDER / f"{name}.json"
    return manifests.from_bytes(path.read_bytes(), path)


def import_model(name: str, store: ModelStore) -> Reference:
    """Puts an importable model into a store, unless its newest version there is the same.

    Args:
        name: One of `importable()`.
        store: Where to.

    Raises:
        UnknownComponent: No such import.
        StoreError: The package with the weights is missing, or does not hold the weights that the
            calibration was made for, or the store cannot be written.
    """
    wanted = template(name)
    if store.versions(name):
        present = store.manifest(name)
        if present.model_copy(update={"version": wanted.version}) == wanted:
            return store.find(name)
    network = SiameseNetwork(wanted.network, wanted.preprocessing)
    tensors = _WEIGHTS[name]()
    for branch in network.branches:
        branch.get_submodule("backbone").load_state_dict(tensors)
    return store.save(
        name,
        network,
        description=wanted.description,
        calibration=wanted.calibration,
        typicality=_own_kind(wanted),
        probe=_own_probe(wanted),
        evaluations=wanted.evaluations,
        provenance=wanted.provenance,
        dtype=wanted.weights.dtype,
        created=wanted.created,
        expected_weights=wanted.weights,
    )


def _own_kind(wanted: Manifest) -> Typicality | None:
    """The description of an imported model's own kind of images; None where there is none."""
    if wanted.typicality is None:
        return None
    data = (_FOLDER / f"{wanted.name}.typicality.safetensors").read_bytes()
    return typicalities.from_bytes(data, wanted.typicality, wanted.dimension)


def _own_probe(wanted: Manifest) -> Probe | None:
    """What an imported model must make of known pictures; None where that is not known."""
    if wanted.probe is None:
        return None
    data = (_FOLDER / f"{wanted.name}.probe.safetensors").read_bytes()
    return probes.from_bytes(data, wanted.probe, wanted.preprocessing.shape, wanted.dimension)
