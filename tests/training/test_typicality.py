import numpy as np
import pytest
import torch

from model_store.network import Side
from model_store.typicality import ClassCentres
from model_store.typicality.pixels import COUNT
from tests.training.trees import embedded
from training.calibration import fit_typicality, typicality_warnings
from training.evaluation.embedding import EmbeddedFolder

DIMENSION = 24


def pixels(images: int, seed: int = 0, brightness: float = 0.5) -> np.ndarray:
    """What pixels look like, of images of one kind that are about so bright."""
    generator = np.random.default_rng(seed + 50)
    return (brightness + 0.05 * generator.normal(size=(images, COUNT))).astype(np.float32)


def folder(
    images: int, *, classes: int = 10, groups: int = 0, seed: int = 0, normalise: bool = True
) -> EmbeddedFolder:
    """Features near a plane of six directions, by class; with groups, each group elsewhere."""
    generator = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(size=(6, DIMENSION))
    names, rows = [], []
    for index in range(images):
        number = index % classes
        group = number % groups if groups else 0
        centre = np.random.default_rng(1000 + number).normal(size=6) + group
        noise = generator.normal(size=DIMENSION) * 0.1
        rows.append((centre + generator.normal(size=6) * 0.3) @ plane + noise)
        names.append(f"g{group}/c{number}" if groups else f"c{number}")
    features = torch.tensor(np.array(rows), dtype=torch.float32)
    made = embedded(features.tolist(), names)
    lengths = made.embeddings.norm(dim=1)
    embeddings = made.embeddings / lengths[:, None] if normalise else made.embeddings
    return EmbeddedFolder(
        embeddings, made.labels, made.folder, (), lengths=lengths, pixels=pixels(images, seed)
    )


def test_the_same_kind_is_uniform_and_another_kind_is_next_to_nothing() -> None:
    found = fit_typicality(folder(400, classes=20), data="drawn", level=0.05)
    assert found is not None
    assert (found.images, found.classes, found.level) == (400, 20, 0.05)
    same = folder(400, classes=20, seed=1).typicality(found)
    for edge in (0.05, 0.25, 0.5):
        assert (same <= edge).mean() == pytest.approx(edge, abs=0.04 + edge / 8)
    generator = np.random.default_rng(5)
    beside = generator.normal(size=(50, DIMENSION)).astype(np.float32)
    far = 20 * folder(50, classes=5, seed=2).features.numpy()
    assert (found.of(beside, pixels(50)) < 0.02).all(), "directions that the kind never takes"
    assert (found.of(far, pixels(50)) < 0.02).mean() > 0.9, "lengths that it never has"


def test_pixels_of_another_kind_are_told_by_themselves() -> None:
    """A network from nothing gives a blank page features like those of its own kind."""
    found = fit_typicality(folder(400, classes=20))
    features = folder(100, classes=20, seed=3).features.numpy()
    assert (found.of(features, pixels(100, 3)) >= 0.02).mean() > 0.9
    bright = pixels(100, 3, brightness=1.0)
    assert (found.of(features, bright) < 0.02).all()
    without = fit_typicality(folder(400, classes=20), pixels=False)
    assert (without.of(features, bright) >= 0.02).mean() > 0.9


def test_features_are_what_embeddings_were_made_of() -> None:
    raw, unit = folder(50, normalise=False), folder(50)
    torch.testing.assert_close(raw.features, unit.features)
    some = unit.subset([0, 3])
    torch.testing.assert_close(some.features, unit.features[np.isin(unit.labels, [0, 3])])
    without = EmbeddedFolder(unit.embeddings, unit.labels, unit.folder, ())
    with pytest.raises(ValueError, match="lengths"):
        _ = without.features
    with pytest.raises(ValueError, match="pixels"):
        _ = without.statistics


def test_groups_are_not_torn_apart() -> None:
    """Groups that lie elsewhere make more of the unknown typical than classes do."""
    grouped, flat = folder(300, groups=5), folder(300, groups=5)
    by_group = fit_typicality(grouped)
    plain = tuple(c.__class__(c.name.replace("/", "-")) for c in flat.folder.classes)
    ungrouped = EmbeddedFolder(
        flat.embeddings,
        flat.labels,
        flat.folder.__class__(flat.folder.source, plain, flat.folder.items),
        (),
        lengths=flat.lengths,
        pixels=flat.pixels,
    )
    by_class = fit_typicality(ungrouped)
    rows = np.random.default_rng(3).normal(size=(40, DIMENSION)).astype(np.float32)
    assert by_group.of(rows, pixels(40)).mean() >= by_class.of(rows, pixels(40)).mean()


def test_each_side_is_described_by_its_own_images() -> None:
    left, right = folder(100), folder(100, seed=1)
    shifted = EmbeddedFolder(
        right.embeddings.roll(1, dims=1),
        right.labels,
        right.folder,
        (),
        lengths=right.lengths,
        pixels=right.pixels,
    )
    found = fit_typicality(left, shifted)
    assert set(found.sides) == set(Side)
    assert found.images == 200
    rows = shifted.features.numpy()
    assert found.of(rows, shifted.statistics, Side.RIGHT).mean() > 0.3
    assert found.of(rows, shifted.statistics, Side.LEFT).mean() < 0.02


def test_too_few_images_describe_nothing() -> None:
    assert fit_typicality(folder(39)) is None
    assert "fewer than 40" in typicality_warnings(None)[0]
    few = fit_typicality(folder(60))
    assert "60 calibration images" in typicality_warnings(few)[0]
    assert typicality_warnings(fit_typicality(folder(300))) == ()


def test_images_trained_on_help_to_describe_and_do_not_measure() -> None:
    few = folder(60, classes=6)
    alone = fit_typicality(few)
    helped = fit_typicality(few, trained_on=[folder(400, classes=20, seed=4)])
    assert helped.images == alone.images == 60
    kept = [len(one.sides[Side.LEFT].measures.raw.directions) for one in (helped, alone)]
    assert kept[0] > kept[1]
    assert len(helped.sides[Side.LEFT].reference) == 60
    rows = np.random.default_rng(3).normal(size=(40, DIMENSION)).astype(np.float32)
    assert helped.of(rows, pixels(40)).mean() < alone.of(rows, pixels(40)).mean()


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
        made.labels,
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


def test_a_network_that_collapsed_is_no_error() -> None:
    made = folder(60)
    same = made.embeddings[:1].repeat(60, 1)
    found = fit_typicality(
        EmbeddedFolder(
            same, made.labels, made.folder, (), lengths=torch.ones(60), pixels=made.pixels
        )
    )
    assert np.isfinite(found.of(same.numpy(), made.pixels)).all()
