from collections import Counter

import numpy as np
import pytest

from tests.training.trees import embedded
from training.errors import DataError
from training.evaluation.episodes import EpisodeTable, can_draw


def folder_of(classes, files):
    """The classes by name, each with the files named."""
    names = [name for name in classes for _ in files]
    return embedded([[0.0]] * len(names), names, files=list(files) * len(classes)).folder


def draws(folder, ways, count=50, seed=0):
    table = EpisodeTable.of(folder, ways)
    generator = np.random.default_rng(seed)
    return table, [table.draw(generator) for _ in range(count)]


def keys(folder, rows):
    return [folder.items[row].key for row in rows]


def test_an_episode_is_of_one_group_and_two_drawers():
    classes = [f"g{group}/c{n}" for group in range(3) for n in range(6)]
    folder = folder_of(classes, [f"0001_{drawer:02}.png" for drawer in range(1, 6)])
    table, episodes = draws(folder, 4)
    assert table.drawers is not None
    seen = Counter()
    for episode in episodes:
        candidates, queries = keys(folder, episode.candidates), keys(folder, episode.queries)
        assert len(candidates) == len(queries) == 4
        assert len({folder.items[row].label for row in episode.candidates}) == 4
        assert [key.rsplit("/", 1)[0] for key in candidates] == [
            key.rsplit("/", 1)[0] for key in queries
        ]
        assert len({key.split("/")[0] for key in candidates}) == 1
        assert len({key[-6:] for key in candidates}) == 1
        assert len({key[-6:] for key in queries}) == 1
        assert candidates[0][-6:] != queries[0][-6:]
        seen[candidates[0].split("/")[0]] += 1
    assert set(seen) == {"g0", "g1", "g2"}


def test_without_drawers_two_images_of_each_class_are_drawn():
    folder = folder_of("abcde", ["x.png", "y.png", "z.png"])
    table, episodes = draws(folder, 3)
    assert table.drawers is None
    images = Counter()
    for episode in episodes:
        for one, two in zip(episode.candidates, episode.queries, strict=True):
            assert one != two
            assert folder.items[one].label == folder.items[two].label
            images.update([one, two])
    assert len(images) == 15


def test_drawers_that_a_class_has_twice_are_no_drawers():
    names = ["a", "a", "a", "b", "b"]
    files = ["1_01.png", "2_01.png", "1_02.png", "1_01.png", "1_02.png"]
    folder = embedded([[0.0]] * 5, names, files=files).folder
    assert EpisodeTable.of(folder, 2).drawers is None


def test_groups_with_too_few_classes_are_left_out():
    classes = ["small/a", "small/b", *(f"large/{n}" for n in range(4))]
    folder = folder_of(classes, ["1.png", "2.png"])
    _, episodes = draws(folder, 4)
    assert {folder.group_names[episode.group] for episode in episodes} == {"large"}


def test_where_no_group_is_large_enough_all_their_classes_are_taken():
    classes = ["small/a", "small/b", *(f"large/{n}" for n in range(4))]
    folder = folder_of(classes, ["1.png", "2.png"])
    _, episodes = draws(folder, 20)
    assert {len(episode.queries) for episode in episodes} == {2, 4}


def test_classes_with_a_single_image_take_no_part():
    names = ["a", "a", "b", "b", "c"]
    folder = embedded([[0.0]] * 5, names).folder
    _, episodes = draws(folder, 20)
    for episode in episodes:
        assert {folder.items[row].label for row in episode.queries} == {0, 1}


@pytest.mark.parametrize("names", [["a", "a", "b"], ["g/a", "g/a", "h/a", "h/a"]])
def test_nothing_to_tell_apart_is_refused(names):
    folder = embedded([[0.0]] * len(names), names).folder
    assert not can_draw(folder)
    with pytest.raises(DataError, match="two classes"):
        EpisodeTable.of(folder, 2)
