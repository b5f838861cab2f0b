import numpy as np
import pytest
import torch

from model_store.network import SiameseNetwork, Side
from model_store.preprocessing import normalise
from tests import tiny
from tests.training.drawings import SMALL_RECIPE, draw_folder
from tests.training.rows import rows_of_classes
from training.data.opening import open_data
from training.data.pixels import load_pixels
from training.data.sides import join_sides
from training.data.training_set import TrainingSet
from training.errors import RecipeError
from training.initialise.whitening import (
    fit_whitening,
    projection,
    set_projection,
    set_whitened,
    some_images,
    whiten,
)
from training.recipe import Recipe
from training.recipe.files import parse_recipe


class TestProjection:
    def test_it_is_the_inverse_root_of_the_shrunk_covariance(self):
        features, labels = rows_of_classes()
        found = fit_whitening(features, labels)
        matrix, shrinkage = found.matrix(), found.shrinkage
        assert found.mean.numpy() == pytest.approx(features.mean(0).numpy())
        covariance = np.zeros((5, 5))
        for label in labels.unique():
            for row in features[labels == label]:
                away = (row - features[labels == label].mean(0)).numpy()
                covariance += np.outer(away, away)
        covariance /= len(features) - 6
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 5 * np.eye(5)
        assert (matrix @ torch.from_numpy(shrunk) @ matrix.T).numpy() == pytest.approx(
            np.eye(5), abs=1e-9
        )

    def test_the_first_directions_are_those_of_most_variance(self):
        features, labels = rows_of_classes()
        found = fit_whitening(features, labels)
        part = projection(found, features, 2)
        kept = float(((features - found.mean) @ part.T).var(0).sum())
        spread = found(features).var(0).sort(descending=True).values
        assert kept >= float(spread[:2].sum())
        assert projection(found, features, 5).numpy() == pytest.approx(found.matrix().numpy())

    def test_fewer_images_than_features_give_the_same_as_the_whole_matrix(self):
        features, labels = rows_of_classes(classes=3, images=1)
        features = features.repeat(1, 4)[:, :20]
        rng = np.random.default_rng(1)
        features = torch.cat([features, features + torch.from_numpy(rng.normal(size=(3, 20)))])
        labels = labels.repeat(2)
        found = fit_whitening(features, labels)
        rows = features - features.mean(0)
        assert found(features).numpy() == pytest.approx((rows @ found.matrix()).numpy())

    def test_what_varies_within_a_class_counts_less_than_before(self):
        features, labels = rows_of_classes()
        found = fit_whitening(features, labels)
        assert _ratio(found(features), labels) > 2 * _ratio(features, labels)
        assert 0.5 <= found.shrinkage <= 1

    def test_the_shrinkage_is_that_of_ledoit_and_wolf_and_half_at_least(self):
        assert fit_whitening(*rows_of_classes()).shrinkage == 0.5
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(40, 20)) * np.linspace(1, 1.7, 20)
        labels = np.repeat(np.arange(10), 4)
        within = rows - np.stack([rows[labels == label].mean(0) for label in labels])
        products = [np.outer(row, row) * 40 / 30 for row in within]
        covariance = sum(products) / 40  # Of 30 degrees of freedom.
        target = np.trace(covariance) / 20 * np.eye(20)
        noise = np.mean([((each - covariance) ** 2).sum() for each in products]) / 40
        expected = noise / ((covariance - target) ** 2).sum()
        assert 0.55 < expected < 0.95
        found = fit_whitening(torch.from_numpy(rows), torch.from_numpy(labels))
        assert found.shrinkage == pytest.approx(expected)

    def test_batch_normalisation_gives_back_the_spread_however_small(self):
        layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval()
        rng = torch.Generator().manual_seed(0)
        matrix = torch.randn(2, 3, generator=rng, dtype=torch.float64)
        bias = torch.tensor([0.5, -2.0], dtype=torch.float64)
        spread = torch.tensor([1e-4, 3.0], dtype=torch.float64)
        set_projection(layers, matrix, bias, spread)
        rows = torch.randn(5, 3, generator=rng)
        expected = rows.double() @ matrix.T + bias
        torch.testing.assert_close(layers(rows).double(), expected, atol=1e-5, rtol=1e-5)
        assert layers[1].running_var.tolist() == pytest.approx([1e-8, 9])

    def test_features_without_any_variance(self):
        found = fit_whitening(torch.ones(6, 3).double(), torch.tensor([0, 0, 1, 1, 2, 2]))
        assert bool(torch.isfinite(found.matrix()).all())

    @pytest.mark.parametrize("copies", [3, 4, 7])
    @pytest.mark.parametrize("offset", [0.0, 1000.0])
    def test_copies_of_an_image_leave_rounding_alone_and_nothing_to_whiten(self, copies, offset):
        rng = np.random.default_rng(copies)
        images = offset + torch.from_numpy(rng.normal(size=(6, 9)).astype(np.float32)).double()
        features, labels = images.repeat(copies, 1), torch.arange(6).repeat(copies)
        rounded = features * (1 + 1e-8 * torch.from_numpy(rng.normal(size=features.shape)))
        layers = [torch.nn.Sequential(torch.nn.Linear(9, 9))]
        for rows in (features, rounded):
            found = set_whitened(layers, [rows], labels)
            assert (found.level, found.shrinkage) == (1, 1)
            assert layers[0][0].weight.detach().numpy() == pytest.approx(np.eye(9))

    def test_features_that_are_all_alike_but_for_rounding(self):
        features = (0.1 * torch.arange(1, 6).double()).repeat(21, 1)
        layers = [torch.nn.Sequential(torch.nn.Linear(5, 5))]
        assert set_whitened(layers, [features], torch.arange(21) // 3).level == 1


def _ratio(features: torch.Tensor, labels: torch.Tensor) -> float:
    """Between-class variance over within-class variance."""
    means = torch.stack([features[labels == label].mean(0) for label in labels.unique()])
    return float(means.var(0).sum() / (features - means[labels]).var(0).sum())


@pytest.fixture
def images(tmp_path):
    draw_folder(tmp_path / "d", classes=6, images=4)
    folder = open_data(tmp_path / "d").whole
    pixels = load_pixels(folder, _recipe().preprocessing, budget=1 << 30, workers=1)
    return TrainingSet(pixels, turned_classes=False)


def _recipe() -> Recipe:
    import yaml

    return parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")


def _network(**branch: int) -> SiameseNetwork:
    recipe = _recipe()
    left = recipe.network.branches[0].model_copy(update=branch)
    spec = recipe.network.model_copy(update={"branches": (left,)})
    return tiny.seeded(spec, recipe.preprocessing).train()


def _whiten(
    network: SiameseNetwork, images: TrainingSet, *, mirrored: bool = False, seed: int = 0
) -> str:
    return whiten(
        network,
        images,
        mirrored=mirrored,
        seed=seed,
        device=torch.device("cpu"),
        on_progress=lambda _: None,
    )


class TestWhiten:
    def test_embeddings_are_the_whitened_features(self, images):
        network = _network()
        told = _whiten(network, images)
        assert "24 training images" in told
        batch = images.images(np.arange(24))
        branch = network.branches[0]
        with torch.inference_mode():
            pooled = branch.pooling(branch.backbone(normalise(batch, network.preprocessing)))
            found = branch.eval().features(normalise(batch, network.preprocessing))
        labels = torch.from_numpy(images.table.labels)
        away = pooled.double() - pooled.double().mean(0)
        wanted = away @ projection(fit_whitening(away, labels), away, 16).T
        assert found.numpy() == pytest.approx(wanted.numpy(), rel=1e-3, abs=1e-3)

    def test_an_image_is_done_once_its_mirror_image_is(self, images):
        told: list[int] = []
        whiten(
            _network(),
            images,
            mirrored=True,
            seed=0,
            device=torch.device("cpu"),
            on_progress=told.append,
        )
        assert told == [12, 24]

    def test_a_projection_wider_than_the_features_is_refused(self, images):
        features = _network().branches[0].get_submodule("projection.0").in_features
        _whiten(_network(projection=features), images)
        with pytest.raises(RecipeError, match=rf"network\.branches\.0\.projection={features}\)"):
            _whiten(_network(projection=features + 1), images)

    def test_the_backbone_is_left_alone(self, images):
        network = _network()
        before = {k: v.clone() for k, v in network.branches[0].backbone.state_dict().items()}
        _whiten(network, images)
        for name, tensor in network.branches[0].backbone.state_dict().items():
            assert torch.equal(tensor, before[name])

    def test_mirrored_images_make_another_projection(self, images):
        plain, mirrored = _network(), _network()
        _whiten(plain, images)
        told = _whiten(mirrored, images, mirrored=True)
        assert "mirror" in told
        weights = [n.branches[0].get_submodule("projection.0").weight for n in (plain, mirrored)]
        assert not torch.allclose(*weights)

    def test_a_mirrored_image_is_one_of_the_same_class(self, images):
        network = _network()
        _whiten(network, images, mirrored=True)
        batch = images.images(np.arange(24))
        batch = torch.cat([batch, batch.flip(2)])  # Left and right exchanged.
        branch = network.branches[0]
        with torch.inference_mode():
            pooled = branch.pooling(branch.backbone(normalise(batch, network.preprocessing)))
            found = branch.eval().features(normalise(batch, network.preprocessing))
        labels = torch.from_numpy(np.concatenate([images.table.labels] * 2))
        away = pooled.double() - pooled.double().mean(0)
        wanted = away @ projection(fit_whitening(away, labels), away, 16).T
        assert found.numpy() == pytest.approx(wanted.numpy(), rel=1e-3, abs=1e-3)

    def test_the_seed_draws_the_images(self, images):
        first, again, other = (some_images(images, seed, 8) for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert len(set(first.tolist())) == 8
        assert (np.diff(first) > 0).all()


class TestWhitenTwoSides:
    """Photos on the left, one picture of each class, in grey, on the right."""

    @pytest.fixture
    def two_sided(self, tmp_path):
        left = open_data(draw_folder(tmp_path / "left", classes=6, images=4)).whole
        right = open_data(draw_folder(tmp_path / "right", classes=6, images=1)).whole
        joined = join_sides(left, right)
        pixels = load_pixels(joined, _recipe().preprocessing, budget=1 << 30, workers=1)
        pixels.images[24:] = 128 + pixels.images[24:] // 2
        return TrainingSet(pixels, turned_classes=False)

    @staticmethod
    def _network() -> SiameseNetwork:
        recipe = _recipe()
        spec = recipe.network.model_copy(update={"branches": recipe.network.branches * 2})
        network = tiny.seeded(spec, recipe.preprocessing).train()
        network.branches[1].load_state_dict(network.branches[0].state_dict())
        return network

    def test_both_have_one_matrix_each_around_the_mean_of_its_side(self, two_sided):
        network = self._network()
        _whiten(network, two_sided)
        batch = two_sided.images(np.arange(30))
        left = network.branches[0]
        with torch.inference_mode():
            pooled = left.pooling(left.backbone(normalise(batch, network.preprocessing))).double()
            found = [
                network.eval().features(batch[:24], Side.LEFT),
                network.eval().features(batch[24:], Side.RIGHT),
            ]
        away = torch.cat([pooled[:24] - pooled[:24].mean(0), pooled[24:] - pooled[24:].mean(0)])
        whitening = fit_whitening(away, torch.from_numpy(two_sided.table.labels))
        wanted = away @ projection(whitening, away, 16).T
        assert torch.cat(found).numpy() == pytest.approx(wanted.numpy(), rel=1e-3, abs=1e-3)

    @pytest.mark.parametrize("seed", range(4))
    def test_a_sample_has_images_of_both_sides_however_few_one_has(
        self, two_sided, seed, monkeypatch
    ):
        assert (some_images(two_sided, seed, 8) >= 24).sum() == 4
        monkeypatch.setattr("training.initialise.whitening.MOST_IMAGES", 4)
        network = self._network()
        assert "by 4 training images" in _whiten(network, two_sided, seed=seed)
        for branch in network.branches:
            assert torch.isfinite(branch.get_submodule("projection.0").weight).all()

    def test_what_differs_between_the_sides_as_a_whole_goes_away(self, two_sided):
        network = self._network()
        _whiten(network, two_sided)
        batch = two_sided.images(np.arange(30))
        with torch.inference_mode():
            means = [
                network.eval().features(batch[rows], side).mean(0)
                for rows, side in ((slice(24), Side.LEFT), (slice(24, 30), Side.RIGHT))
            ]
        assert torch.cat(means).numpy() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("start", [{"right_backbone": "b.pth"}, {"same_sides": False}])
def test_two_sides_that_start_apart_are_not_whitened(start):
    import yaml

    content = yaml.safe_load(SMALL_RECIPE)
    content["network"]["branches"] *= 2
    content["start"] = {"projection": "whitening", **start}
    with pytest.raises(RecipeError, match="same backbone"):
        parse_recipe(content, "small")


@pytest.mark.parametrize(
    "change", [{"projection": None, "batch_norm": False}, {"hidden": [8]}], ids=["none", "hidden"]
)
def test_a_network_that_cannot_be_whitened_is_refused(change):
    import yaml

    content = yaml.safe_load(SMALL_RECIPE)
    content["start"] = {"projection": "whitening"}
    content["network"]["branches"][0].update(change)
    with pytest.raises(RecipeError, match="whitening"):
        parse_recipe(content, "small")
