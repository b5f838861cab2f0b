"""A projection to start from, in closed form: what differs within a class counts for little.

Within-class covariance normalisation (Hatch, Kajarekar, Stolcke, Interspeech 2006): with S the
covariance of the features around the mean of their class, features times S^(-1/2) vary alike in
all directions within a class, and what is left between classes shows. A projection to fewer values
keeps the directions with the most variance; one to as many keeps also those in which the training
images did not vary and new classes may, which is much better. S is shrunk towards a multiple of the
identity by the share that Ledoit and Wolf (2004, Journal of Multivariate Analysis 88, section 3)
estimate, but at least by half.

Of a network whose sides have a branch each, the features of each side are taken around that side's
own mean, and all of them make one S: by what photo and catalogue picture of one thing differ, they
vary within a class. Both branches then have the same map, each around its mean.

Where the recipe's augmentation mirrors, each image counts mirrored, too. The rest of what
augmentation does is left out: on faces, random crops made the projection worse.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from model_store.network import SiameseNetwork
from model_store.preprocessing import normalise
from training.data.sample import first_of_sides
from training.data.training_set import Integers, TrainingSet
from training.errors import RecipeError
from training.principal import principal_directions
from training.randomness import Stream, numpy_generator, seeded
from training.recipe import Recipe

MOST_IMAGES = 2_000
"""Images that are looked at, drawn by the seed."""

_BATCH = 64
_ROUNDING = 1e-12
"""Of the features' mean square: networks compute in float32, in which images that are alike to the
last pixel may give features that differ by about so much."""
_LEAST_SHRINKAGE = 0.5
_MOST_FEATURES = 8_192


def whiten(
    network: SiameseNetwork,
    images: TrainingSet,
    *,
    mirrored: bool,
    seed: int,
    device: torch.device,
    on_progress: Callable[[int], None],
) -> str:
    """Sets the projection of a network's branches, and the batch normalisation behind it.

    Args:
        network: With a projection, alike where it has two branches; the backbones' weights are put
            in already, and where there are two backbones they are the same.
        images: Training images.
        mirrored: Whether a mirrored image is one of the same class.
        seed: The run's.
        device: Where to compute.
        on_progress: Told how many images are done.

    Returns:
        What was done, in words.

    Raises:
        RecipeError: There are too many features for a matrix of their covariances, or fewer than
            the projection has values.
    """
    linear = _projection_to_set(network)
    chosen = some_images(images, seed, MOST_IMAGES)
    network.eval().to(device)
    sides = _by_side(images, chosen, len(network.branches))
    parts: list[list[torch.Tensor]] = [[] for _ in sides]
    done = 0
    for branch, rows, part in zip(network.branches, sides, parts, strict=True):
        for batch in views(images, rows, device, mirrored=mirrored):
            with torch.inference_mode():
                pooled = branch.get_submodule("pooling")(
                    branch.get_submodule("backbone")(normalise(batch, network.preprocessing))
                )
            part.append(pooled.double().cpu())
            done += len(batch)
            on_progress(done // (1 + mirrored))
    labels = np.concatenate([np.tile(images.table.labels[rows], 1 + mirrored) for rows in sides])
    whitening = set_whitened(
        [branch.get_submodule("projection") for branch in network.branches],
        [torch.cat(part) for part in parts],
        torch.from_numpy(labels),
    )
    return (
        f"projection of {linear.in_features:,} features to {linear.out_features:,} whitened by "
        f"{len(chosen):,} training images{' and their mirror images' if mirrored else ''} "
        f"(shrinkage {whitening.shrinkage:.2f})"
    )


def check_whitening(recipe: Recipe) -> None:
    """Refuses a recipe whose projection cannot be whitened, before any image is read.

    Raises:
        RecipeError: As `whiten`.
        StoreError: There is no such network.
    """
    if recipe.start.projection is not None:
        with seeded(recipe.seed, Stream.INITIALISATION):
            _projection_to_set(SiameseNetwork(recipe.network, recipe.preprocessing))


def _projection_to_set(network: SiameseNetwork) -> nn.Linear:
    linear = network.branches[0].get_submodule("projection.0")
    if not isinstance(linear, nn.Linear):
        raise RecipeError("start.projection=whitening wants a projection to set")
    if linear.in_features > _MOST_FEATURES:
        raise RecipeError(
            f"start.projection=whitening: {linear.in_features:,} features are over the limit of "
            f"{_MOST_FEATURES:,}; pool more (--set network.branches.0.pooling=grid)"
        )
    if linear.out_features > linear.in_features:
        narrower = " ".join(
            f"--set network.branches.{side}.projection={linear.in_features}"
            for side in range(len(network.branches))
        )
        raise RecipeError(
            f"start.projection=whitening: a projection to {linear.out_features:,} values cannot be "
            f"made of {linear.in_features:,} features; give it as many at most ({narrower})"
        )
    return linear


def set_whitened(
    projections: Sequence[nn.Module], by_side: Sequence[torch.Tensor], labels: torch.Tensor
) -> "Whitening":
    """Makes projections, alike for all sides, what whitens features within their classes.

    Args:
        projections: Each side's, without hidden layers; as `set_projection` takes them.
        by_side: For each side, float64 (N, D): the features that come into its projection.
        labels: int64, their classes: those of the first side, then those of the next.

    Returns:
        The whitening that they do.
    """
    means = [features.mean(dim=0) for features in by_side]
    away = [features - mean for features, mean in zip(by_side, means, strict=True)]
    features = torch.cat(away)
    size = float(torch.cat(list(by_side)).square().mean())
    whitening = fit_whitening(features, labels, size=size)
    dimension = projections[0].get_parameter("0.weight").shape[0]
    matrix = projection(whitening, features, dimension)
    for layers, mean, centred in zip(projections, means, away, strict=True):
        # Of a single image it is 0, and not what is no number.
        spread = (centred @ matrix.T).std(dim=0, correction=min(1, len(centred) - 1))
        set_projection(layers, matrix, -matrix @ mean, spread)
    return whitening


def _by_side(images: TrainingSet, chosen: Integers, branches: int) -> list[Integers]:
    """The images of each branch."""
    on_right = images.on_right(chosen)
    if branches == 1 or on_right is None:
        return [chosen]
    return [chosen[~on_right.numpy()], chosen[on_right.numpy()]]


def some_images(images: TrainingSet, seed: int, most: int) -> Integers:
    """The numbers of at most so many images, drawn by the seed, ascending; of both sides some."""
    count = len(images.table.labels)
    order = numpy_generator(seed, Stream.WHITENING).permutation(count)
    on_right = images.on_right(np.arange(count))
    if on_right is not None:
        return np.sort(first_of_sides(order, on_right.numpy(), most))
    return np.sort(order[:most]).astype(np.int64)


def set_projection(
    layers: nn.Module, matrix: torch.Tensor, bias: torch.Tensor, spread: torch.Tensor
) -> None:
    """Makes a linear layer, and the batch normalisation there may be behind it, an affine map.

    Args:
        layers: A branch's projection, without hidden layers.
        matrix: float64 (E, D).
        bias: float64 (E,).
        spread: float64 (E,), the standard deviation of what comes out, around 0.
    """
    with torch.no_grad():
        for layer in layers.children():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(matrix)
                layer.bias.copy_(bias)
            elif isinstance(layer, nn.BatchNorm1d):
                # It takes away the spread of the batch it sees; its weights give it back.
                layer.get_buffer("running_mean").zero_()
                layer.get_buffer("running_var").copy_(spread**2)
                layer.weight.copy_((spread**2 + layer.eps).sqrt())
                layer.bias.zero_()


@dataclass(frozen=True)
class Whitening:
    """S^(-1/2) around a mean, as a multiple of the identity and what differs from it.

    Attributes:
        mean: float64 (D,), the features' mean.
        directions: float64 (R, D), orthonormal: those along which images of one class differ.
        gains: float64 (R,), what is added to `level` along each of them; below 0.
        level: The factor along all other directions.
        shrinkage: The share of the identity in S, in [0.5, 1].
    """

    mean: torch.Tensor
    directions: torch.Tensor
    gains: torch.Tensor
    level: float
    shrinkage: float

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """float64 (N, D), whitened."""
        away = features - self.mean
        return away * self.level + ((away @ self.directions.T) * self.gains) @ self.directions

    def matrix(self) -> torch.Tensor:
        """float64 (D, D), symmetric: what features less their mean are multiplied by."""
        found = (self.directions.T * self.gains) @ self.directions
        found.diagonal().add_(self.level)
        return found


def fit_whitening(
    features: torch.Tensor, labels: torch.Tensor, *, size: float | None = None
) -> Whitening:
    """The whitening of features by how they differ within classes.

    Args:
        features: float64 (N, D).
        labels: int64 (N,), their classes.
        size: The mean square of what the network gave, where a mean was taken away from it since;
            that of `features` if not given.
    """
    _, inverse = torch.unique(labels, return_inverse=True)
    means = class_means(features, labels)
    within = features - means[inverse]
    free = max(1, len(features) - len(means))
    if size is None:
        size = float(features.square().mean())
    if float(within.square().mean()) <= _ROUNDING * size:
        # Copies of one image, whose rounding would be blown up to what varies within a class.
        within = torch.zeros_like(within)
    squares, found = principal_directions(within.numpy())
    variances, directions = torch.from_numpy(squares) / free, torch.from_numpy(found)
    scale = float(variances.sum()) / features.shape[1]
    shrinkage = _ledoit_wolf(within, variances, scale, free)
    # One view of everything, or a backbone that sees nothing, leaves nothing to whiten.
    level = (shrinkage * scale) ** -0.5 if scale > 0 else 1.0
    shrunk = (1 - shrinkage) * variances + shrinkage * scale
    return Whitening(features.mean(dim=0), directions, shrunk.rsqrt() - level, level, shrinkage)


def projection(whitening: Whitening, features: torch.Tensor, dimension: int) -> torch.Tensor:
    """The matrix of a whitening, or its rows of most variance.

    Args:
        whitening: From `fit_whitening`.
        features: float64 (N, D), which say what varies.
        dimension: Rows wanted, at most D; with D, the matrix itself.

    Returns:
        float64 (dimension, D).
    """
    matrix = whitening.matrix()
    if dimension == len(matrix):
        return matrix
    white = whitening(features)
    _, directions = torch.linalg.eigh(white.T @ white)
    kept: torch.Tensor = directions.flip(1).T[:dimension]
    return kept @ matrix


def class_means(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float64 (K, D), the mean of each class, in the order of their labels."""
    _, inverse = torch.unique(labels, return_inverse=True)
    counts = inverse.bincount().to(features)
    sums = torch.zeros(len(counts), features.shape[1], dtype=features.dtype)
    sums.index_add_(0, inverse, features)
    means: torch.Tensor = sums / counts[:, None]
    return means


def _ledoit_wolf(rows: torch.Tensor, variances: torch.Tensor, scale: float, free: int) -> float:
    """The share of the identity: b²/d² of Ledoit and Wolf 2004, section 3.3; 0.5 at least."""
    squared = float(variances.square().sum())
    away = squared - scale**2 * rows.shape[1]
    if away <= 0:
        return 1.0
    each = float(rows.square().sum(dim=1).square().mean()) * (len(rows) / free) ** 2
    noise = max(0.0, each - squared) / len(rows)
    return max(_LEAST_SHRINKAGE, min(1.0, noise / away))


def views(
    images: TrainingSet, chosen: Integers, device: torch.device, *, mirrored: bool
) -> Iterator[torch.Tensor]:
    """Batches of all chosen images as they are, and then of all of them mirrored."""
    for mirror in (False, True) if mirrored else (False,):
        for start in range(0, len(chosen), _BATCH):
            batch = images.images(chosen[start : start + _BATCH]).to(device)
            yield batch.flip(2) if mirror else batch
