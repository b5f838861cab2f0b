"""The map of embeddings."""

import numpy as np
import pytest

from tests.training.report.test_html import read
from tests.training.trees import embedded, grown, png
from training.report.landscape import _apart, draw_map, lay_out


def clusters(count, each, tmp_path=None):
    generator = np.random.default_rng(0)
    centres = 10 * np.eye(count, 8)
    names = [f"c<{n}" for n in range(count) for _ in range(each)]
    vectors = [centres[n // each] + 0.1 * generator.normal(size=8) for n in range(count * each)]
    if tmp_path is not None:
        grown(tmp_path, {f"{name}/{n}.png": png(n) for n, name in enumerate(names)})
    return embedded(vectors, names, source=str(tmp_path or "made-up"))


@pytest.mark.parametrize(("count", "each"), [(4, 6), (5, 20)])
def test_images_of_one_cluster_are_neighbours(count, each):
    folder = clusters(count, each)
    found = lay_out(folder, seed=1)
    assert found.method == "t-SNE"
    assert (found.places.min(), found.places.max()) == (0, 1)
    apart = np.linalg.norm(found.places[:, None] - found.places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    labels = folder.labels[found.rows]
    assert np.mean(labels[apart.argmin(axis=1)] == labels) > 0.95


def test_the_same_seed_gives_the_same_map():
    folder = clusters(3, 6)
    assert (lay_out(folder, seed=3).places == lay_out(folder, seed=3).places).all()


def test_a_seed_may_be_longer_than_scikit_learn_takes():
    assert lay_out(clusters(3, 6), seed=5_000_000_000).method == "t-SNE"


@pytest.mark.parametrize(
    "vectors", [[[0.0], [1.0]], [[1.0, 1.0]] * 3, [[0.0]] * 20, [[1.0, 0.0], [0.0, 1.0], [0, 0]]]
)
def test_few_flat_or_equal_embeddings_have_places_too(vectors):
    found = lay_out(embedded(vectors, ["a"] + ["b"] * (len(vectors) - 1)), cosine=True)
    assert found.places.shape == (len(vectors), 2)
    assert np.isfinite(found.places).all()


def test_lengths_do_not_matter_where_only_directions_count():
    vectors = [[1, 0, 0], [100, 0, 0], [0, 1, 0], [0, 100, 0], [0, 0, 1], [0, 0, 100]]
    folder = embedded(vectors, "aabbcc")
    for cosine in (True, False):
        found = lay_out(folder, cosine=cosine)
        places = found.places[np.argsort(found.rows)]
        apart = [np.linalg.norm(places[n] - places[n + 1]) for n in (0, 2, 4)]
        assert (np.array(apart) < 1e-6).all() == cosine


@pytest.mark.parametrize("place", [15.0, 500.0])
def test_tiles_on_one_spot_are_moved_apart_and_stay_on_the_map(place):
    spots = _apart(np.full((30, 2), place))
    assert (spots >= 0).all()
    assert (spots <= (1000, 720)).all()
    gap = np.abs(spots[:, None] - spots[None]).max(axis=2)
    assert (gap[np.triu_indices(30, 1)] > 10).all()


def test_every_image_is_drawn_in_its_class_colour_with_its_name(tmp_path):
    folder = clusters(3, 3, tmp_path)
    reader = read(draw_map(folder, lay_out(folder)))
    assert reader.tags.count("image") == 9
    fills = [value for name, value in reader.attributes if name == "fill"]
    assert sorted(fills.count(colour) for colour in set(fills)) == [3, 3, 3]
    assert "c<1" in reader.text


def test_an_image_that_is_gone_is_left_out(tmp_path):
    folder = clusters(3, 3, tmp_path)
    found = lay_out(folder)
    (tmp_path / folder.folder.items[0].key).unlink()
    assert read(draw_map(folder, found)).tags.count("image") == 8
