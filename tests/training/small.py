"""A network that builds and runs in milliseconds, and still tells images of noise apart."""

from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from tests import tiny

_BRANCH = BranchSpec(
    backbone="residual",
    options={"stem": 8, "stem_kernel": 3, "stem_stride": 2, "widths": [8, 16], "blocks": [1, 1]},
    pooling="flatten",
    projection=8,
    normalise=True,
)


def network(comparator: str = "euclidean", *, sides: int = 1, seed: int = 0) -> SiameseNetwork:
    """Embeddings of eight values; weights drawn from a seed; in evaluation mode."""
    spec = NetworkSpec(branches=(_BRANCH,) * sides, comparator=ComparatorSpec(name=comparator))
    return tiny.seeded(spec, tiny.GREY_32, seed)
