"""What is typical of a kind, and how it is measured."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_store.network import Side
from model_store.typicality import SideTypicality
from model_store.typicality.pixels import COUNT, LOGARITHMS
from tests.training.calibration.kinds import DIMENSION, folder, pixels
from tests.training.trees import embedded
from training.calibration import Turn, fit_typicality, typical, typicality_warnings
from training.data.folders import ImageClass
from training.evaluation.embedding import EmbeddedFolder


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


def test_of_very_many_images_a_sample_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose classes have the shares they have of all, so that it describes the same kind."""
    left, right = folder(300, classes=20), folder(100, classes=20, seed=3)
    whole = fit_typicality(left, right, one_kind=True)
    monkeypatch.setattr(typical, "MOST_IMAGES", 400)
    same = fit_typicality(left, right, one_kind=True)
    monkeypatch.setattr(typical, "MOST_IMAGES", 200)
    sampled = fit_typicality(left, right, one_kind=True)
    again = fit_typicality(left, right, one_kind=True)
    helped = fit_typicality(right, trained_on=[left])
    assert whole is not None
    assert same is not None
    assert sampled is not None
    assert again is not None
    assert helped is not None
    assert (same.images, sampled.images, sampled.classes, helped.images) == (400, 200, 20, 100)
    new = folder(400, classes=20, seed=1)
    assert (new.typicality(same) == new.typicality(whole)).all()
    assert (new.typicality(again) == new.typicality(sampled)).all()
    assert (new.typicality(sampled) <= 0.25).mean() == pytest.approx(0.25, abs=0.08)
    far = 20 * folder(50, classes=5, seed=2).features.numpy()
    assert (sampled.of(far, pixels(50)) < 0.02).mean() > 0.9


def test_a_sample_of_two_very_unequal_classes_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typical, "MOST_IMAGES", 60)
    names = ["a"] * 299 + ["b"]
    made = embedded(folder(300).features.tolist(), names)
    unequal = EmbeddedFolder(
        made.embeddings,
        made.folder,
        (),
        lengths=made.embeddings.norm(dim=1),
        pixels=pixels(300),
    )
    found = fit_typicality(unequal)
    assert found is not None
    assert (found.images, found.classes) == (60, 2)


def beyond(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How far rows lie from the principal components, a direction at a time."""
    mean = known.mean(axis=0)
    kept = min(DIMENSION // 2, len(known) // 8)
    directions = np.linalg.svd(known - mean, full_matrices=False)[2][:kept]
    left = rows - mean
    for direction in directions:
        left = left - np.outer(left @ direction, direction)
    return np.array([np.linalg.norm(row) for row in left])


def unlike(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The logarithm of the Mahalanobis distance, correlations being shrunk by a tenth."""
    mean = known.mean(axis=0)
    always = np.array([0.5 if number in LOGARITHMS else 0.1 for number in range(COUNT)])
    spread = np.sqrt(known.var(axis=0) + always**2)
    scaled = (known - mean) / spread
    correlation = sum(np.outer(row, row) for row in scaled) / len(scaled)
    inverse = np.linalg.inv(0.9 * correlation + 0.1 * np.eye(COUNT))
    away = (rows - mean) / spread
    return np.array([np.log(np.sqrt(row @ inverse @ row)) for row in away])


def by_a_loop(
    own: EmbeddedFolder, folds: list[Turn], trained: EmbeddedFolder | None = None
) -> np.ndarray:
    """The three measures of images, each by what all but its fold describe."""
    found = []
    for fold in folds:
        rest, looks = [fold.features[~fold.held]], [own.statistics[~fold.held]]
        if trained is not None:
            rest.append(trained.features.numpy())
            looks.append(trained.statistics)
        known, rows = np.concatenate(rest).astype(float), fold.features[fold.held].astype(float)
        units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (known, rows)]
        pixels_beyond = unlike(
            np.concatenate(looks).astype(float), own.statistics[fold.held].astype(float)
        )
        found.append(np.stack([beyond(known, rows), beyond(*units), pixels_beyond], axis=1))
    return np.concatenate(found)


def dealt(own: EmbeddedFolder, units: np.ndarray, seed: int) -> list[Turn]:
    names = np.random.default_rng(seed).permutation(sorted(set(units.tolist()))).tolist()
    return [
        Turn(np.array([names.index(unit) % 5 == fold for unit in units]), own.features.numpy())
        for fold in range(5)
    ]


def assert_measured(found: SideTypicality, wanted: np.ndarray) -> None:
    centre, spread = np.median(wanted, axis=0), wanted.std(axis=0)
    assert found.centre == pytest.approx(centre, rel=1e-3)
    assert found.spread == pytest.approx(spread, rel=1e-3)
    excess = np.maximum((wanted - centre) / spread, 0)
    reference = sorted(np.linalg.norm(row) for row in excess)
    assert found.reference == pytest.approx(np.array(reference), rel=0.01, abs=0.01)


@pytest.mark.parametrize(
    ("groups", "together"), [(0, False), (4, False), (5, True)], ids=["none", "few", "enough"]
)
def test_images_are_measured_by_what_other_classes_or_groups_describe(groups, together) -> None:
    own = folder(150, classes=15, groups=groups)
    units = own.folder.groups[own.labels] if together else own.labels
    found = fit_typicality(own, seed=3)
    assert_measured(found.sides[Side.LEFT], by_a_loop(own, dealt(own, units, 3)))


def test_images_trained_on_of_each_side_describe_along_with_every_fold() -> None:
    sides = [folder(90, classes=9, seed=seed) for seed in (1, 2)]
    trained = [folder(120, classes=12, seed=seed) for seed in (3, 4)]
    found = fit_typicality(*sides, trained_on=trained)
    for side, own, known in zip(Side, sides, trained, strict=True):
        assert_measured(found.sides[side], by_a_loop(own, dealt(own, own.labels, 0), known))


def test_in_turns_images_are_measured_as_the_network_of_the_turn_has_them() -> None:
    """Images that have no turn describe in each."""
    own = folder(120, classes=12)
    generator = np.random.default_rng(0)
    turns = [
        Turn(
            np.isin(own.labels, classes),
            own.features.numpy() + generator.normal(size=(120, DIMENSION)).astype(np.float32),
        )
        for classes in ([0, 1, 2, 3], [4, 5, 6, 7])
    ]
    found = fit_typicality(own, turns=turns)
    assert len(found.sides[Side.LEFT].reference) == 80
    assert_measured(found.sides[Side.LEFT], by_a_loop(own, turns))


@pytest.mark.parametrize(("held", "described"), [([0], False), ([0, 1, 2, 3], True)])
def test_images_without_a_turn_do_not_count_as_measured(held, described) -> None:
    """Ten of a hundred: what they describe a manifest could name, and no service load."""
    own = folder(100)
    turn = Turn(np.isin(own.labels, held), own.features.numpy())
    assert (fit_typicality(own, turns=[turn]) is not None) == described


def test_of_many_distances_some_are_kept_from_the_nearest_to_the_farthest(monkeypatch) -> None:
    whole = fit_typicality(folder(101)).sides[Side.LEFT].reference
    monkeypatch.setattr(typical, "_REFERENCE", 51)
    kept = fit_typicality(folder(101)).sides[Side.LEFT].reference
    assert kept.tolist() == whole[::2].tolist()


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
    without = EmbeddedFolder(unit.embeddings, unit.folder, ())
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


def some(own: EmbeddedFolder, kept: np.ndarray) -> EmbeddedFolder:
    """Only those images, classes numbered anew."""
    dropped = {item.key for item, keep in zip(own.folder.items, kept, strict=True) if not keep}
    return EmbeddedFolder(
        own.embeddings[kept],
        own.folder.without(dropped),
        (),
        lengths=own.lengths[kept],
        pixels=own.pixels[kept],
    )


@pytest.mark.parametrize("groups", [0, 5])
@pytest.mark.parametrize("helped", [False, True])
def test_both_sides_of_one_branch_are_described_as_one_kind(groups, helped) -> None:
    """As if they were one folder: a class of one name is held out on both sides at once."""
    own, trained = folder(150, classes=15, groups=groups), folder(120, classes=12, seed=4)
    on_left = (own.labels < 10) & (np.arange(150) % 2 == 0)
    sides = [some(own, on_left), some(own, ~on_left)]
    first = np.arange(120) < 60
    known = [some(trained, first), some(trained, ~first)]
    found = fit_typicality(*sides, one_kind=True, trained_on=known if helped else ())
    whole = fit_typicality(own, trained_on=[trained] if helped else ())
    assert set(found.sides) == {Side.LEFT}
    assert (found.images, found.classes) == (150, 15)
    wanted = whole.sides[Side.LEFT].reference
    assert found.sides[Side.LEFT].reference == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_sides_that_are_grouped_otherwise_have_their_classes_held_out_together() -> None:
    """Classes are matched as for pairs, and all images of one side are no group."""
    left, right = folder(150, classes=15, groups=5), folder(150, classes=15, groups=5, seed=1)
    right = replace(right, embeddings=right.embeddings.roll(1, dims=1))

    def known_as(side: EmbeddedFolder, name: Callable[[str], ImageClass]) -> EmbeddedFolder:
        classes = tuple(name(entry.name) for entry in side.folder.classes)
        return replace(side, folder=replace(side.folder, classes=classes))

    def measured(left: EmbeddedFolder, right: EmbeddedFolder) -> np.ndarray:
        found = fit_typicality(left, right, one_kind=True)
        assert found.classes == 15
        return found.sides[Side.LEFT].reference

    by_class = measured(known_as(left, ImageClass), known_as(right, ImageClass))
    flat = known_as(right, lambda name: ImageClass(name[3:]))
    one_group = known_as(right, lambda name: ImageClass(f"shop/{name[3:]}", "shop"))
    for other in (flat, one_group):
        assert measured(left, other) == pytest.approx(by_class, rel=1e-3, abs=1e-3)


def test_too_few_images_describe_nothing() -> None:
    assert fit_typicality(folder(39)) is None
    assert fit_typicality(folder(40)) is not None
    assert fit_typicality(folder(60), folder(39)) is None, "of one side"
    assert "fewer than 40" in typicality_warnings(None)[0]
    one, known = folder(60, classes=1), folder(120, seed=1)
    assert fit_typicality(one) is None, "no other class says where its images lie"
    assert fit_typicality(one, trained_on=[known]) is not None
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
