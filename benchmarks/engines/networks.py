"""The networks that engines are measured on: the shipped models, and classic ones."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from model_store import Checkpoint, ModelStore
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from model_store.preprocessing import Preprocessing
from model_store.shipped import SHIPPED

_SHIPPED = ("photos", "glyphs")


def _classic(backbone: str, size: int, pooling: str) -> Callable[[], SiameseNetwork]:
    def make() -> SiameseNetwork:
        branch = BranchSpec.model_validate({"backbone": backbone, "pooling": pooling})
        spec = NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine"))
        pixels = Preprocessing(
            height=size, width=size, mode="RGB", mean=(0.5,) * 3, std=(0.25,) * 3
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return SiameseNetwork(spec, pixels)

    return make


CLASSICS: Mapping[str, Callable[[], SiameseNetwork]] = {
    "resnet18-224": _classic("resnet18", 224, "none"),
    "resnet50-224": _classic("resnet50", 224, "none"),
    "vgg16-105": _classic("vgg16", 105, "flatten"),
}
"""Networks by name and pixels a side, with weights from a seed."""

NAMES = (*_SHIPPED, *CLASSICS)
"""The shipped models, and the classic ones."""


def load(name: str, folder: Path) -> Checkpoint:
    """A network as the service loads it.

    Args:
        name: One of `NAMES`.
        folder: Where those that do not ship are kept.
    """
    if name in _SHIPPED:
        return ModelStore(SHIPPED).load(name)
    store = ModelStore(folder / "models")
    if not store.versions(name):
        store.save(name, CLASSICS[name]())
    return store.load(name)
