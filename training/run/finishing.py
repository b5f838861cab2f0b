"""A projection set anew once training is over, by how the training images really lie.

The features that the trained network makes of the training images are whitened by how they differ
within a class (`training.initialise.whitening`). `whitening` is no more than that, for networks
that are to tell other classes apart. `discriminant`, linear discriminant analysis (Rao 1948,
Journal of the Royal Statistical Society B 10), keeps of the whitened space only the directions in
which the means of the classes differ: fewer than there are classes, which is right for a model that
is to know those again and a loss for others. Prototypes that are trained along draw the images of a
class to one place; this uses how they really lie. Either map is folded into the projection that is
there, so that the network computes no more than before.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import nn

from model_store.network import SiameseNetwork
from training.data.training_set import TrainingSet
from training.initialise.whitening import (
    Whitening,
    class_means,
    fit_whitening,
    set_projection,
    some_images,
    views,
)
from training.principal import principal_directions

MOST_FINISHING = 4_000
"""Images that are looked at, drawn by the seed. More than for a start: they decide where to end."""


def finish(
    network: SiameseNetwork,
    images: TrainingSet,
    *,
    projection: Literal["discriminant", "whitening"],
    mirrored: bool,
    seed: int,
    device: torch.device,
    on_progress: Callable[[int], None],
) -> str:
    """Sets the projection of a trained network anew.

    Args:
        network: Of one branch, with a projection and no hidden layers before it.
        images: Training images, of two classes at least.
        projection: What of the whitened space is kept.
        mirrored: Whether a mirrored image is one of the same class.
        seed: The run's.
        device: Where to compute.
        on_progress: Told how many images are done.

    Returns:
        What was done, in words.
    """
    features, labels = _seen(network, images, seed, device, on_progress, mirrored=mirrored)
    whitening = fit_whitening(features, labels)
    classes = f"{len(np.unique(labels.numpy())):,} classes"
    if projection == "discriminant":
        matrix = discriminant(whitening, features, labels)
        done = f"set to what tells {classes} apart"
    else:
        matrix = whitening.matrix()
        done = f"whitened within {classes}"
    _fold_in(network, whitening, matrix, features)
    return (
        f"projection {done}, by {len(labels) // (1 + mirrored):,} training images"
        f"{' and their mirror images' if mirrored else ''} (shrinkage {whitening.shrinkage:.2f})"
    )


def _seen(
    network: SiameseNetwork,
    images: TrainingSet,
    seed: int,
    device: torch.device,
    on_progress: Callable[[int], None],
    *,
    mirrored: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network makes of training images, float64 (N, E), and their classes, int64 (N,)."""
    chosen = some_images(images, seed, MOST_FINISHING)
    network.eval().to(device)
    parts: list[torch.Tensor] = []
    with torch.inference_mode():
        for batch in views(images, chosen, device, mirrored=mirrored):
            parts.append(network.features(batch).double().cpu())
            on_progress(sum(map(len, parts)) // (1 + mirrored))
    labels = np.tile(images.table.labels[chosen], 1 + mirrored)
    return torch.cat(parts), torch.from_numpy(labels)


def _fold_in(
    network: SiameseNetwork, whitening: Whitening, matrix: torch.Tensor, features: torch.Tensor
) -> None:
    """Puts a matrix, of features around their mean, behind the projection and into it."""
    spread = ((features - whitening.mean) @ matrix.T).std(dim=0)
    layers = network.branches[0].get_submodule("projection")
    before, bias = _affine(layers)
    set_projection(layers, matrix @ before, matrix @ (bias - whitening.mean), spread)


def discriminant(
    whitening: Whitening, features: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """A whitening and then the orthogonal projection on the span of what class means differ by.

    Args:
        whitening: From `fit_whitening`.
        features: float64 (N, D).
        labels: int64 (N,), their classes.

    Returns:
        float64 (D, D), of a rank below the number of classes.
    """
    means = class_means(whitening(features), labels)
    _, found = principal_directions((means - means.mean(dim=0)).numpy())
    directions = torch.from_numpy(found)
    return directions.T @ (directions @ whitening.matrix())


def _affine(layers: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """What layers compute that are affine together: float64 (E, D) and (E,)."""
    matrix, bias = (
        layers.get_parameter(name).detach().double().cpu() for name in ("0.weight", "0.bias")
    )
    for layer in layers.children():
        if isinstance(layer, nn.BatchNorm1d):
            mean, variance = (
                layer.get_buffer(name).double().cpu() for name in ("running_mean", "running_var")
            )
            factor = layer.weight.detach().double().cpu() / (variance + layer.eps).sqrt()
            matrix = factor[:, None] * matrix
            bias = factor * (bias - mean) + layer.bias.detach().double().cpu()
    return matrix, bias
