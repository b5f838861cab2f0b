"""Networks small enough to build and run in a moment, made from the real parts."""

import json
from pathlib import Path

import torch

from model_store import manifest
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from model_store.preprocessing import Preprocessing

GREY_32 = Preprocessing(height=32, width=32, mode="L", mean=(0.5,), std=(0.5,))
COLOUR_32 = Preprocessing(
    height=32, width=32, mode="RGB", resize="letterbox", mean=(0.5,) * 3, std=(0.25,) * 3
)


def network_spec(
    comparator: str = "euclidean", *, sides: int = 1, dimension: int = 8
) -> NetworkSpec:
    """A residual network of two narrow stages: a few thousand parameters."""
    branch = BranchSpec(
        backbone="residual",
        options={"stem": 4, "widths": [4, 8], "blocks": [1, 1]},
        pooling="average",
        projection=dimension,
        normalise=True,
    )
    return NetworkSpec(branches=(branch,) * sides, comparator=ComparatorSpec(name=comparator))


def network(
    comparator: str = "euclidean",
    preprocessing: Preprocessing = GREY_32,
    *,
    sides: int = 1,
    seed: int = 0,
) -> SiameseNetwork:
    """A network with weights drawn from a seed, in evaluation mode."""
    return seeded(network_spec(comparator, sides=sides), preprocessing, seed)


def seeded(spec: NetworkSpec, preprocessing: Preprocessing, seed: int = 0) -> SiameseNetwork:
    """Any network with weights drawn from a seed, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SiameseNetwork(spec, preprocessing).eval()


def without_probe(folder: Path) -> None:
    """Makes a checkpoint one from before there were probes."""
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["probe"], content["digest"]
    content["digest"] = manifest._digest(content)
    path.write_text(json.dumps(content))
    (folder / "probe.safetensors").unlink()
