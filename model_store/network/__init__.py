"""Networks: what they are made of, and how they are built from a specification."""

from model_store.network.siamese import SiameseNetwork, Side
from model_store.network.specification import BranchSpec, ComparatorSpec, NetworkSpec

__all__ = ["BranchSpec", "ComparatorSpec", "NetworkSpec", "SiameseNetwork", "Side"]
