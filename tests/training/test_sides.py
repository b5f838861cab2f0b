"""Networks whose two sides differ: from folders of a left and a right to a trained model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from model_store.network import Side
from model_store.store import ModelStore
from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from tests.training.small import network
from tests.training.trees import grown, pngs, zipped
from training.cli import main
from training.data.batch import Batch
from training.data.opening import open_data
from training.data.parts import open_sources
from training.data.sampling import ClassTable
from training.data.sampling.balanced_pairs import BalancedPairs
from training.data.sampling.classes_by_images import ClassesByImages
from training.data.sides import join_sides
from training.errors import DataError, RecipeError
from training.fit import FitRequest, fit
from training.learning.learner import _embedded
from training.progress import Reporter

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def sides(tmp_path):
    left = open_data(grown(tmp_path / "photos", pngs(["a/1.png", "a/2.png", "b/1.png", "c/1.png"])))
    right = open_data(grown(tmp_path / "shop", pngs(["b/x.png", "a/y.png", "d/z.png"])))
    return left.whole, right.whole


class TestJoining:
    def test_classes_of_both_sides_are_kept_with_their_images(self, sides):
        joined = join_sides(*sides)
        assert [entry.name for entry in joined.classes] == ["a", "b"]
        found = [(item.key, item.label, item.side.value) for item in joined.items]
        assert found == [
            ("left/a/1.png", 0, "left"),
            ("left/a/2.png", 0, "left"),
            ("left/b/1.png", 1, "left"),
            ("right/a/y.png", 0, "right"),
            ("right/b/x.png", 1, "right"),
        ]

    def test_both_are_told(self, sides):
        joined = join_sides(*sides)
        assert joined.described() == "5 images (3 left, 2 right) of 2 classes"
        for side in Side:
            assert "left" not in joined.on(side).described()
        assert "left" not in sides[0].described()

    def test_bytes_come_from_the_side_of_the_item(self, sides):
        joined = join_sides(*sides)
        assert joined.read(joined.items[3]) == sides[1].read(sides[1].items[0])
        assert joined.read(joined.items[0]) == sides[0].read(sides[0].items[0])

    def test_a_class_of_one_side_is_named(self, sides):
        skipped = {entry.key: entry.reason for entry in join_sides(*sides).skipped}
        assert set(skipped) == {"left/c", "right/d"}
        assert "shop does not have" in skipped["left/c"]

    def test_each_side_can_be_had_alone_and_classes_stay(self, sides):
        joined = join_sides(*sides)
        right = joined.on(Side.RIGHT)
        assert [item.key for item in right.items] == ["right/a/y.png", "right/b/x.png"]
        assert right.classes == joined.classes
        assert sides[0].on(Side.RIGHT) is sides[0]

    def test_a_subset_keeps_the_sides(self, sides):
        rest = join_sides(*sides).subset([1])
        assert [item.side for item in rest.items] == [Side.LEFT, Side.RIGHT]

    def test_nothing_in_common_is_refused(self, tmp_path, sides):
        other = open_data(grown(tmp_path / "other", pngs(["q/1.png", "r/1.png"]))).whole
        with pytest.raises(DataError, match="no class in common"):
            join_sides(sides[0], other)

    @pytest.mark.parametrize("named", ["photos", "link", "data.zip/photos"])
    def test_one_folder_on_both_sides_is_refused(self, tmp_path, sides, named):
        """Images were paired with themselves, and had the best scores there are."""
        files = pngs(["photos/a/1.png", "photos/a/2.png", "photos/b/1.png", "more/a/1.png"])
        zipped(tmp_path / "data.zip", files)
        (tmp_path / "link").symlink_to(tmp_path / "photos")
        inside = tmp_path / "data.zip" if named.startswith("data.zip") else tmp_path
        with pytest.raises(DataError, match=r"on both sides, .* give --right the pictures of"):
            open_sources(tmp_path / named, None, inside / "photos")
        if inside != tmp_path:
            assert open_sources(tmp_path / named, None, inside / "more").train.two_sided


def table() -> ClassTable:
    labels = np.array([0, 0, 0, 1, 1, 2, 0, 1, 1, 2, 3], np.int64)
    on_right = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1], bool)
    return ClassTable(labels, np.zeros(4, np.int64), on_right)


class TestSampling:
    def test_pairs_go_across(self):
        classes = table()
        sampler = BalancedPairs(classes, 9, 0)
        on_right = np.arange(11) >= 6
        for step in range(40):
            draw = sampler.draw(step)
            images = draw.indices[draw.pairs]
            assert not on_right[images[:, 0]].any()
            assert on_right[images[:, 1]].all()
            labels = classes.labels[images]
            np.testing.assert_array_equal(labels[:, 0] == labels[:, 1], draw.same)
            assert 3 not in labels  # It has no left image.

    def test_half_of_each_class_is_of_each_side(self):
        classes = table()
        sampler = ClassesByImages(classes, 12, 0, images=4)
        for step in range(20):
            images = sampler.draw(step).indices.reshape(3, 4)
            assert (images[:, :2] < 6).all()
            assert (images[:, 2:] >= 6).all()
            assert (classes.labels[images] == classes.labels[images[:, :1]]).all()

    def test_an_odd_number_is_refused(self):
        with pytest.raises(ValueError, match="even"):
            ClassesByImages(table(), 12, 0, images=3)


def test_every_image_goes_through_the_branch_of_its_side():
    both = network(sides=2)
    images = torch.randint(0, 256, (5, 32, 32, 1), dtype=torch.uint8)
    on_right = torch.tensor([True, False, True, False, False])
    zeros = torch.zeros(5, dtype=torch.int64)
    found = _embedded(both, Batch(images, zeros, zeros, on_right=on_right))
    for row in range(5):
        side = Side.RIGHT if on_right[row] else Side.LEFT
        torch.testing.assert_close(found[row], both.embed(images[row : row + 1], side)[0])


class TestFit:
    @pytest.fixture
    def recipe(self, tmp_path):
        content = yaml.safe_load(SMALL_RECIPE)
        content["network"]["branches"] *= 2
        content["sampling"] = {"name": "balanced-pairs"}
        content["loss"] = {"name": "contrastive", "options": {"margin": 1.0}}
        content["batch"] = 16
        return write_recipe(tmp_path / "two.yaml", yaml.safe_dump(content, sort_keys=False))

    def request(self, tmp_path, recipe, **more):
        return FitRequest(
            data=tmp_path / "photos",
            name="two",
            store=ModelStore(tmp_path / "store"),
            device=torch.device("cpu"),
            recipe=str(recipe),
            overrides=["max_steps=6"],
            **more,
        )

    def test_both_branches_learn_and_both_sides_are_judged(self, tmp_path, recipe):
        draw_folder(tmp_path / "photos", classes=8, images=4)
        draw_folder(tmp_path / "shop", classes=8, images=1)
        store = ModelStore(tmp_path / "store")
        reference = fit(self.request(tmp_path, recipe, right=tmp_path / "shop"), Reporter())
        assert reference is not None
        checkpoint = store.load("two")
        left, right = (branch.state_dict() for branch in checkpoint.network.branches)
        assert any(not torch.equal(left[name], right[name]) for name in left)
        manifest = store.manifest("two", reference.version)
        assert not manifest.symmetric
        figures = manifest.evaluations[0].figures
        classes = figures["classes"]
        assert figures["pairs"] == classes * 4 * classes  # Each photo with each shop picture.

    def test_both_can_start_whitened_and_keep_a_share_of_it(self, tmp_path, recipe):
        draw_folder(tmp_path / "photos", classes=8, images=4)
        draw_folder(tmp_path / "shop", classes=8, images=1)
        store = ModelStore(tmp_path / "store")
        request = self.request(tmp_path, recipe, right=tmp_path / "shop")
        assert fit(request, Reporter()) is not None
        start = "start={model: two, projection: whitening, share: 0.5}"
        weights = {}
        for name, steps in (("whitened", 0), ("trained", 6)):
            overrides = [f"max_steps={steps}", start]
            assert fit(replace(request, name=name, overrides=overrides), Reporter()) is not None
            left, right = store.load(name).network.branches
            weights[name] = left.projection[0].weight, right.projection[0].weight
        assert torch.equal(*weights["whitened"])
        assert not torch.equal(*weights["trained"])

    def test_without_a_right_side_it_is_refused(self, tmp_path, recipe):
        draw_folder(tmp_path / "photos", classes=8, images=4)
        with pytest.raises(RecipeError, match="--right"):
            fit(self.request(tmp_path, recipe), Reporter())

    def test_batches_that_may_leave_one_image_to_a_side_are_not_for_batch_norm(
        self, tmp_path, recipe
    ):
        draw_folder(tmp_path / "photos", classes=8, images=4)
        draw_folder(tmp_path / "shop", classes=8, images=1)
        request = self.request(tmp_path, recipe, right=tmp_path / "shop")
        shuffled = [*request.overrides, "sampling.name=shuffled", "loss={name: cosine-softmax}"]
        with pytest.raises(RecipeError, match=r"classes-by-images, .*0\.batch_norm=false"):
            fit(replace(request, overrides=shuffled), Reporter())

    def test_nor_is_it_cross_validated(self, tmp_path, recipe, capsys):
        draw_folder(tmp_path / "photos", classes=8, images=4)
        words = ["cross-validate", "--data", str(tmp_path / "photos"), "--recipe", str(recipe)]
        assert main([*words, "--folds", "2", "--store", str(tmp_path / "store")]) == 1
        assert "--right" in capsys.readouterr().err
