"""What a network is, as data: the part of a manifest from which the network is built."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Options = dict[str, bool | int | float | str | list[int]]


class BranchSpec(BaseModel):
    """One side of a Siamese network: from a normalised image to its embedding.

    Attributes:
        backbone: A name from `network.backbones`.
        options: Keyword arguments of that backbone.
        pooling: How a feature map becomes a vector: `flatten` keeps every position, `average` and
            `gem` (generalised mean, Radenović et al. 2018, arXiv 1711.02512, eq. 3) keep one value
            a channel, `grid` the averages over a few rows and columns, for things that always lie
            alike in the image; `none` for a backbone that gives a vector by itself.
        grid: Rows and columns that the pooling `grid` keeps.
        mirrored: Whether an image is seen mirrored, too, and what was pooled of the two averaged:
            an image and its mirror image have one embedding then, and what lights or turns one
            side counts for less, at twice the work. For things that are alike on both sides.
        hidden: Values of linear layers after pooling, each followed by ReLU.
        projection: Values of a last linear layer, or none.
        batch_norm: Whether batch normalisation follows, which gives a cosine loss embeddings that
            are spread around the origin (the "neck" of Luo et al. 2019, arXiv 1903.07071).
        normalise: Whether the embedding is scaled to unit length.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    options: Options = {}
    pooling: Literal["none", "flatten", "average", "gem", "grid"] = "none"
    grid: Annotated[int, Field(ge=1, le=32)] = 3
    mirrored: bool = False
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = ()
    projection: Annotated[int, Field(ge=1, le=65_536)] | None = None
    batch_norm: bool = False
    normalise: bool = False


class ComparatorSpec(BaseModel):
    """The part that turns two embeddings into a score.

    Attributes:
        name: A name from `network.comparators`.
        options: Keyword arguments of that comparator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: Options = {}


class NetworkSpec(BaseModel):
    """A whole Siamese network.

    Attributes:
        branches: One branch, which serves both sides with the same weights; or two, the left and
            the right side of a pseudo-Siamese network.
        comparator: What compares the two embeddings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    branches: Annotated[tuple[BranchSpec, ...], Field(min_length=1, max_length=2)]
    comparator: ComparatorSpec
