"""Networks that give nothing outside of few directions, and others that only look so."""

from dataclasses import replace

import numpy as np
import torch

from model_store.network import Side
from model_store.typicality import ClassCentres, Residuals
from tests.training.calibration.kinds import DIMENSION, folder, pixels
from tests.training.trees import embedded
from training.calibration import fit_typicality, typical
from training.evaluation.embedding import EmbeddedFolder


def discriminant(images: int, *, seed: int = 0, noise: float = 0.3) -> EmbeddedFolder:
    """Features of a network that keeps only the six directions that tell its classes apart."""
    generator = np.random.default_rng(seed)
    plane = np.linalg.qr(np.random.default_rng(99).normal(size=(DIMENSION, 6)))[0].T
    centres = np.random.default_rng(7).normal(size=(8, 6))
    labels = np.arange(images) % 8
    rows = 5 * centres[labels] + noise * generator.normal(size=(images, 6))
    features = torch.tensor(rows @ plane, dtype=torch.float32)
    made = embedded(features.tolist(), [f"c{label}" for label in labels])
    lengths = made.embeddings.norm(dim=1)
    return EmbeddedFolder(
        made.embeddings / lengths[:, None],
        made.folder,
        (),
        lengths=lengths,
        pixels=pixels(images, seed),
    )


def test_a_network_that_keeps_few_directions_is_judged_by_its_classes() -> None:
    """Whatever it is shown lies in them, so that no residual is left to tell other kinds by."""
    found = fit_typicality(discriminant(80), trained_on=[discriminant(200, seed=1)])
    assert isinstance(found.sides[Side.LEFT].measures, ClassCentres)
    same = discriminant(400, seed=2).typicality(found)
    assert (same >= 0.02).mean() > 0.95
    plane = np.linalg.qr(np.random.default_rng(99).normal(size=(DIMENSION, 6)))[0].T
    nothing = (0.3 * np.random.default_rng(5).normal(size=(100, 6)) @ plane).astype(np.float32)
    assert (found.of(nothing, pixels(100)) < 0.02).all(), "what says no class"
    by_residuals = fit_typicality(folder(400, classes=20))
    assert not isinstance(by_residuals.sides[Side.LEFT].measures, ClassCentres)


def test_a_class_is_the_mean_direction_of_its_images_and_those_trained_on_have_their_own() -> None:
    own, known = discriminant(80), discriminant(200, seed=1)
    centres = fit_typicality(own, trained_on=[known]).sides[Side.LEFT].measures.directions
    means = []
    for images in (own, known):
        unit = images.features.numpy() / np.linalg.norm(images.features, axis=1, keepdims=True)
        means += [unit[images.labels == label].mean(axis=0) for label in range(8)]
    wanted = np.array([mean / np.linalg.norm(mean) for mean in means])
    distances = np.linalg.norm(centres[:, None] - wanted, axis=2)
    assert (distances.min(axis=0) < 1e-5).all()
    assert len(centres) == 16


def test_of_very_many_classes_some_stand_for_all(monkeypatch) -> None:
    monkeypatch.setattr(typical, "_MOST_CENTRES", 4)
    measures = fit_typicality(discriminant(80)).sides[Side.LEFT].measures
    assert measures.directions.shape == (4, DIMENSION)


def test_what_a_rounded_weight_leaves_is_no_direction_of_a_network() -> None:
    """A ten-thousandth of the length, as in weights stored as float16."""
    made = discriminant(80)
    rounding = 1e-4 * np.random.default_rng(0).normal(size=made.embeddings.shape)
    embeddings = made.embeddings + torch.tensor(rounding, dtype=torch.float32)
    found = fit_typicality(replace(made, embeddings=embeddings))
    assert isinstance(found.sides[Side.LEFT].measures, ClassCentres)


def test_images_that_are_few_or_alike_do_not_make_the_directions_of_a_network_few() -> None:
    """Fifty images lie in 49 directions, whatever they are; those trained on show others too."""
    rows = np.random.default_rng(0).normal(size=(50, 128)).tolist()
    made = embedded(rows, [f"c{number % 10}" for number in range(50)])
    wide = replace(made, lengths=made.embeddings.norm(dim=1), pixels=pixels(50))
    helped = [fit_typicality(wide), fit_typicality(discriminant(80), trained_on=[folder(400)])]
    for found in helped:
        assert isinstance(found.sides[Side.LEFT].measures, Residuals)


def test_a_network_that_collapsed_is_no_error() -> None:
    made = folder(60)
    same = made.embeddings[:1].repeat(60, 1)
    found = fit_typicality(
        EmbeddedFolder(same, made.folder, (), lengths=torch.ones(60), pixels=made.pixels)
    )
    assert (found.of(same.numpy(), made.pixels) > 0.1).mean() > 0.8
    assert (found.of(-same.numpy(), made.pixels) < 0.001).all()
