"""Pairs of all classes, none scored by what its own classes had a part in."""

import io

import numpy as np
import pytest
import torch
import yaml

from model_store.network import SiameseNetwork, Side
from tests import tiny
from tests.training.drawings import SMALL_RECIPE, draw_folder
from tests.training.trees import grown, pngs, whole
from training.crossing import projections
from training.crossing.projections import cross_pairs, left_out
from training.data.folders import ImageFolder
from training.data.pixels import load_pixels
from training.data.sides import join_sides
from training.data.split import SplitShares
from training.data.training_set import TrainingSet
from training.errors import DataError
from training.evaluation.embedding import embed_folder
from training.evaluation.pairs import pool_within, score_folder
from training.initialise import whiten
from training.progress import Reporter
from training.recipe import Recipe
from training.recipe.files import load_recipe, parse_recipe

CPU = torch.device("cpu")
_SHARES = load_recipe("photos").split


def recipe_of(*, mirrored: bool = False, mirror: float = 0.0, whitened: bool = True) -> Recipe:
    content = yaml.safe_load(SMALL_RECIPE)
    content["network"]["branches"][0] |= {"projection": 48, "pooling": "average"}
    content["network"]["branches"][0]["options"]["widths"] = [8, 48]
    content["network"]["branches"][0]["mirrored"] = mirrored
    content["data"]["turned_classes"] = False
    content["augmentation"] = {"name": "jitter", "options": {"mirror": mirror}}
    content["start"] = {"projection": "whitening"} if whitened else None
    content["max_steps"] = 0
    return parse_recipe(content, "small")


def fresh(recipe: Recipe) -> SiameseNetwork:
    return tiny.seeded(recipe.network, recipe.preprocessing)


def fitted(recipe: Recipe, folder: ImageFolder) -> SiameseNetwork:
    """The same network, its projection fitted to those images as training does it."""
    network = fresh(recipe)
    if recipe.start.projection is not None:
        images = TrainingSet(
            load_pixels(folder, recipe.preprocessing, budget=1 << 30, workers=1),
            turned_classes=False,
        )
        mirrored = recipe.augmentation.options["mirror"] > 0
        whiten(network, images, mirrored=mirrored, seed=0, device=CPU, on_progress=lambda _: None)
    return network.eval()


def crossed(network, folder, recipe, *, max_impostors=100_000):
    return cross_pairs(
        network,
        folder,
        recipe,
        max_impostors=max_impostors,
        device=CPU,
        reporter=Reporter(io.StringIO()),
    )


@pytest.fixture
def drawings(tmp_path) -> ImageFolder:
    return whole(draw_folder(tmp_path / "drawings", classes=7, images=3))


@pytest.mark.parametrize(
    ("mirrored", "mirror"), [(False, 0.0), (False, 0.5), (True, 0.5), (True, 0.0)]
)
def test_a_pair_has_the_score_of_a_network_fitted_to_all_but_the_classes_left_out_with_it(
    drawings, mirrored, mirror, monkeypatch
):
    monkeypatch.setattr(projections, "_SETS", 12)
    recipe = recipe_of(mirrored=mirrored, mirror=mirror)
    network = fitted(recipe, drawings)
    whole_of_it = crossed(network, drawings, recipe)
    found, found_embeddings = whole_of_it.scored, whole_of_it.embedded.embeddings
    turns = left_out(drawings, recipe)
    networks = {
        turn: fitted(recipe, drawings.subset(set(range(7)) - set(classes.tolist())))
        for turn, classes in enumerate(turns)
    }
    embeddings = {turn: embed_folder(one, drawings).embeddings for turn, one in networks.items()}
    checked = 0
    for pairs, scores in (
        (found.genuine_pairs, found.genuine),
        (found.impostor_pairs, found.impostor),
    ):
        for left, right, score in zip(pairs.left, pairs.right, scores, strict=True):
            classes = {int(drawings.labels[left]), int(drawings.labels[right])}
            first = next(t for t, of in enumerate(turns) if classes <= set(of.tolist()))
            wanted = float((embeddings[first][left] - embeddings[first][right]).norm())
            assert score == pytest.approx(wanted, abs=2e-3)
            checked += 1
    assert len(found.genuine) == 7 * 3, "every pair of one class"
    assert found.genuine_pairs.coverage == "exhaustive"
    couples = {tuple(turn.tolist()) for turn in turns}
    assert checked == 7 * 3 + 9 * len(couples), "and those of every two left out together"
    own = embed_folder(network, drawings)
    assert found_embeddings.numpy() == pytest.approx(own.embeddings.numpy(), abs=2e-3)
    untouched = fitted(recipe, drawings)
    for one, two in zip(
        network.state_dict().values(), untouched.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), "the network that ships stays as it is"


def slow_pairs(folder: ImageFolder, sets) -> set[tuple[int, int]]:
    """A left image with a right one, of classes that were left out together."""
    items, together = folder.items, [set(classes.tolist()) for classes in sets]
    return {
        (one, two)
        for one in range(len(items))
        for two in range(len(items))
        if (items[one].side, items[two].side) == (Side.LEFT, Side.RIGHT)
        and any({items[one].label, items[two].label} <= classes for classes in together)
    }


class TestSides:
    @pytest.fixture
    def folder(self, tmp_path) -> ImageFolder:
        photos = whole(draw_folder(tmp_path / "photos", classes=7, images=3))
        return join_sides(photos, whole(draw_folder(tmp_path / "shop", classes=7, images=2)))

    def found(self, folder: ImageFolder, recipe: Recipe, **more):
        found = crossed(fitted(recipe, folder), folder, recipe, **more)
        scored, labels = found.scored, folder.labels
        ours, theirs = (
            list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
            for pairs in (scored.genuine_pairs, scored.impostor_pairs)
        )
        assert all(labels[one] == labels[two] for one, two in ours)
        assert all(labels[one] != labels[two] for one, two in theirs)
        assert len({*ours, *theirs}) == len(ours) + len(theirs), "none comes twice"
        assert scored.genuine_class.tolist() == [labels[one] for one, _ in ours]
        assert scored.impostor_classes.tolist() == [[labels[i], labels[j]] for i, j in theirs]
        return found, ours, theirs

    def test_only_a_left_image_with_a_right_one_is_a_pair(self, folder, monkeypatch):
        monkeypatch.setattr(projections, "_SETS", 6)
        recipe = recipe_of()
        found, ours, theirs = self.found(folder, recipe)
        sets = left_out(folder, recipe)
        assert {*ours, *theirs} == slow_pairs(folder, sets)
        assert len(ours) == 7 * 3 * 2
        assert found.scored.genuine_pairs.coverage == "exhaustive"
        assert found.scored.impostor_pairs.coverage == "sample", "not every couple had its turn"
        assert not found.scored.impostor_pairs.limited, "which no higher limit brings"
        first = fitted(recipe, folder.subset(set(range(7)) - set(sets[0].tolist())))
        made = embed_folder(first, folder).embeddings
        scores = dict(
            zip(ours + theirs, [*found.scored.genuine, *found.scored.impostor], strict=True)
        )
        for one, two in slow_pairs(folder, sets[:1]):
            wanted = float((made[one] - made[two]).norm())
            assert scores[one, two] == pytest.approx(wanted, abs=2e-3)

    def test_nor_is_any_other_where_nothing_was_fitted(self, folder):
        recipe = recipe_of(whitened=False)
        found, ours, theirs = self.found(folder, recipe)
        everything = slow_pairs(folder, [np.arange(7)])
        assert {*ours, *theirs} == everything
        assert len(everything) == 7 * 3 * 7 * 2
        assert found.scored.images == 7 * 5
        made = embed_folder(fresh(recipe), folder).embeddings
        for (one, two), score in zip(
            ours + theirs, [*found.scored.genuine, *found.scored.impostor], strict=True
        ):
            assert score == pytest.approx(float((made[one] - made[two]).norm()), abs=1e-5)

    def test_a_limit_of_pairs_is_kept(self, folder):
        _, ours, theirs = self.found(folder, recipe_of(), max_impostors=60)
        assert len(ours) == 7 * 3 * 2
        assert 20 < len(theirs) <= 60

    def test_so_many_pairs_there_are(self, folder):
        pairs = slow_pairs(folder, [np.arange(7)])
        same = sum(folder.labels[one] == folder.labels[two] for one, two in pairs)
        pool = pool_within(folder)
        assert (pool.genuine_total, pool.impostor_total) == (same, len(pairs) - same)


def test_what_nothing_was_fitted_to_is_scored_as_it_is(drawings):
    recipe = recipe_of(whitened=False)
    network = fresh(recipe)
    found = crossed(network, drawings, recipe).scored
    wanted = score_folder(network, embed_folder(network, drawings))
    assert found.impostor.tolist() == wanted.impostor.tolist()
    assert len(found.impostor) == 9 * 21


def test_all_images_are_measured_once_by_a_network_fitted_without_their_classes(drawings):
    recipe = recipe_of(mirrored=True, mirror=0.5)
    found = crossed(fitted(recipe, drawings), drawings, recipe)
    times = np.sum([turn.held for turn in found.turns], axis=0)
    assert set(times.tolist()) == {1}
    assert len(found.turns) == 4, "three of two classes, and one of the seventh"
    for turn in found.turns:
        classes = set(drawings.labels[turn.held].tolist())
        network = fitted(recipe, drawings.subset(set(range(7)) - classes))
        wanted = embed_folder(network, drawings).features.numpy()
        assert turn.features == pytest.approx(wanted, rel=1e-2, abs=2e-3)


def test_a_limit_of_impostor_pairs_is_kept_and_none_comes_twice(drawings):
    recipe = recipe_of()
    found = crossed(fitted(recipe, drawings), drawings, recipe, max_impostors=60).scored
    pairs = list(zip(found.impostor_pairs.left, found.impostor_pairs.right, strict=True))
    assert 20 < len(pairs) <= 60
    assert len(set(pairs)) == len(pairs)
    assert found.impostor_pairs.coverage == "sample"


def test_of_many_images_a_sample_is_taken_and_told_in_its_own_folder(drawings, monkeypatch):
    monkeypatch.setattr(projections, "MOST_IMAGES", 14)
    recipe = recipe_of()
    found = crossed(fitted(recipe, drawings), drawings, recipe)
    count = len(found.embedded.folder.items)
    assert 10 <= count <= 14
    assert found.scored.genuine_pairs.left.max() < count
    other = crossed(fresh(recipe), drawings, recipe.model_copy(update={"seed": 1}))
    assert other.embedded.folder.items != found.embedded.folder.items


def test_classes_of_one_image_give_nothing_to_calibrate_by(tmp_path):
    folder = whole(draw_folder(tmp_path / "d", classes=6, images=1))
    recipe = recipe_of()
    with pytest.raises(DataError, match="one of them with two images"):
        crossed(fresh(recipe), folder, recipe)


class TestLeftOut:
    @pytest.mark.parametrize(("classes", "size"), [(4, 2), (10, 2), (40, 6)])
    def test_as_many_are_left_out_as_validate_and_every_class_is(self, tmp_path, classes, size):
        names = [f"c{number:02}/{image}.png" for number in range(classes) for image in range(2)]
        folder = whole(grown(tmp_path / "d", pngs(names)))
        turns = left_out(folder, recipe_of().model_copy(update={"split": _SHARES}))
        assert 30 <= len(turns) <= 30 + classes // size
        assert {len(turn) for turn in turns} == {size}
        assert set(np.concatenate(turns).tolist()) == set(range(classes))

    @pytest.mark.parametrize(("shares", "size"), [((0.1, 0.3), 2), ((0, 0.3), 6)])
    def test_as_many_as_calibrate_are_left_out_where_none_validate(self, tmp_path, shares, size):
        folder = whole(grown(tmp_path / "d", pngs([f"c{n:02}/1.png" for n in range(20)])))
        validation, calibration = shares
        split = SplitShares(validation=validation, calibration=calibration)
        recipe = recipe_of().model_copy(update={"split": split})
        turns, others = (
            [turn.tolist() for turn in left_out(folder, recipe.model_copy(update={"seed": seed}))]
            for seed in (0, 1)
        )
        assert {len(turn) for turn in turns} == {size}
        assert turns != others, "by the seed"

    def test_a_class_stays_to_fit_to_however_large_the_share(self, tmp_path):
        names = [f"c{number:02}/1.png" for number in range(10)]
        folder = whole(grown(tmp_path / "d", pngs(names)))
        shares = SplitShares(validation=0, calibration=0.99)
        turns = left_out(folder, recipe_of().model_copy(update={"split": shares}))
        assert {len(turn) for turn in turns} == {9}

    def test_groups_are_left_out_whole(self, tmp_path):
        names = [f"g{group}/c{one}/1.png" for group in range(10) for one in range(2)]
        folder = whole(grown(tmp_path / "d", pngs(names)))
        for turn in left_out(folder, recipe_of()):
            groups, counts = np.unique(folder.groups[turn], return_counts=True)
            assert len(groups) == 2
            assert set(counts.tolist()) == {2}

    def test_most_couples_of_classes_have_their_turn(self, tmp_path):
        names = [f"c{number:02}/1.png" for number in range(20)]
        folder = whole(grown(tmp_path / "d", pngs(names)))
        recipe = recipe_of().model_copy(update={"split": _SHARES})
        couples = {
            (one, two)
            for turn in left_out(folder, recipe)
            for one in turn
            for two in turn
            if one < two
        }
        assert len(couples) > 0.4 * 190
