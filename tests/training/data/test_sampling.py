"""Samplers: what they promise of every step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.sampling import SAMPLERS, ClassTable
from training.data.sampling.balanced_pairs import BalancedPairs
from training.data.sampling.classes_by_images import ClassesByImages
from training.data.sampling.shuffled import Shuffled


def table(counts, groups=None) -> ClassTable:
    """Classes with so many images each, the images in a mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return ClassTable(
        np.random.default_rng(5).permutation(labels).astype(np.int64),
        np.zeros(len(counts), np.int64) if groups is None else np.array(groups, np.int64),
    )


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_draw_depends_on_seed_and_step_alone(name):
    classes = table([3, 4, 5, 6, 2, 2])
    first, second = (SAMPLERS[name](classes, 8, 3) for _ in range(2))
    forwards = [first.draw(step).indices for step in range(9)]
    backwards = [second.draw(step).indices for step in reversed(range(9))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one, other)
    another = SAMPLERS[name](classes, 8, 4)
    assert any(not np.array_equal(another.draw(step).indices, forwards[step]) for step in range(9))


class TestBalancedPairs:
    @given(
        counts=st.lists(st.integers(0, 5), min_size=2, max_size=8).filter(
            lambda c: sum(n > 0 for n in c) >= 2 and max(c) >= 2
        ),
        batch=st.integers(2, 17),
        step=st.integers(0, 1000),
    )
    @settings(max_examples=100, deadline=None)
    def test_half_and_half_and_true(self, counts, batch, step):
        classes = table(counts)
        draw = BalancedPairs(classes, batch, 0).draw(step)
        images = draw.indices[draw.pairs]
        labels = classes.labels[images]
        np.testing.assert_array_equal(labels[:, 0] == labels[:, 1], draw.same)
        assert draw.same.sum() == batch - batch // 2
        assert (images[:, 0] != images[:, 1]).all()
        assert len(np.unique(draw.indices)) == len(draw.indices)
        assert set(draw.pairs.reshape(-1)) == set(range(len(draw.indices)))

    def test_every_class_is_drawn_evenly_the_last_one_too(self):
        classes = table([2, 2, 20, 2])
        sampler = BalancedPairs(classes, 50, 0)
        genuine, impostor = np.zeros(4), np.zeros(4)
        for step in range(200):
            draw = sampler.draw(step)
            labels = classes.labels[draw.indices[draw.pairs]]
            genuine += np.bincount(labels[draw.same, 0], minlength=4)
            impostor += np.bincount(labels[~draw.same].reshape(-1), minlength=4)
        np.testing.assert_allclose(genuine / genuine.sum(), 0.25, atol=0.02)
        np.testing.assert_allclose(impostor / impostor.sum(), 0.25, atol=0.02)

    def test_every_image_of_a_class_is_drawn(self):
        classes = table([5, 1])
        draws = [BalancedPairs(classes, 4, 0).draw(step).indices for step in range(50)]
        assert set(np.concatenate(draws)) == set(range(6))

    def test_every_two_images_of_a_class_meet(self):
        classes = table([4, 1])
        met = set()
        for step in range(60):
            draw = BalancedPairs(classes, 4, 0).draw(step)
            met |= set(map(tuple, draw.indices[draw.pairs][draw.same].tolist()))
        assert len(met) == 4 * 3, "in both orders"

    def test_an_epoch_counts_two_images_a_pair(self):
        assert BalancedPairs(table([3, 3]), 5, 0).images_per_step == 10

    def test_one_class_is_refused(self):
        with pytest.raises(ValueError, match="2 classes"):
            BalancedPairs(table([4]), 4, 0)

    def test_one_pair_is_refused(self):
        with pytest.raises(ValueError, match="at least 2 pairs"):
            BalancedPairs(table([4, 4]), 1, 0)


class TestShuffled:
    @given(images=st.integers(2, 30), batch=st.integers(2, 40))
    @settings(max_examples=50, deadline=None)
    def test_each_image_once_an_epoch(self, images, batch):
        classes = table([1] * images)
        sampler = Shuffled(classes, batch, 1)
        stream = np.concatenate([sampler.draw(step).indices for step in range(images)])
        for epoch in range(batch):
            part = stream[epoch * images : (epoch + 1) * images]
            np.testing.assert_array_equal(np.sort(part), np.arange(images))

    def test_epochs_differ(self):
        sampler = Shuffled(table([10, 10]), 20, 1)
        assert not np.array_equal(sampler.draw(0).indices, sampler.draw(1).indices)

    def test_a_large_class_is_drawn_more_often_and_the_others_draw_classes_alike(self):
        assert {name for name, sampler in SAMPLERS.items() if sampler.by_image} == {"shuffled"}

    def test_one_class_is_refused(self):
        with pytest.raises(ValueError, match="2 classes"):
            Shuffled(table([4]), 2, 0)


class TestClassesByImages:
    def test_so_many_classes_with_so_many_images(self):
        classes = table([6] * 10 + [1])
        for step in range(20):
            labels = classes.labels[ClassesByImages(classes, 12, 0, images=3).draw(step).indices]
            found, counts = np.unique(labels, return_counts=True)
            assert len(found) == 4
            assert set(counts) == {3}
            assert 10 not in found

    def test_images_of_a_class_differ_where_there_are_enough(self):
        sampler = ClassesByImages(table([3] * 4), 9, 0, images=3)
        for step in range(20):
            assert len(np.unique(sampler.draw(step).indices)) == 9

    def test_a_class_with_few_images_gives_them_again(self):
        indices = ClassesByImages(table([2] * 2), 8, 0, images=4).draw(0).indices
        assert sorted(np.unique(indices, return_counts=True)[1]) == [2, 2, 2, 2]

    @pytest.mark.parametrize(
        ("classes", "groups", "batch", "options", "expected"),
        [
            (10, None, 12, {"images": 3}, 12),
            (4, None, 13, {"images": 3}, 13),
            (4, None, 60, {"images": 3}, 12),
            (8, [0] * 3 + [1] * 5, 40, {"groups": 2}, 20),
            (8, [0] * 3 + [1] * 5, 10, {"groups": 1}, 10),
        ],
    )
    def test_a_step_counts_the_images_that_it_can_give(
        self, classes, groups, batch, options, expected
    ):
        sampler = ClassesByImages(table([6] * classes, groups), batch, 0, **options)
        assert sampler.images_per_step == expected

    def test_classes_of_one_group(self):
        groups = [0, 0, 0, 1, 1, 1, 1, 2]
        classes = table([4] * 8, groups)
        seen = set()
        for step in range(50):
            draw = ClassesByImages(classes, 6, 0, images=2, groups=1).draw(step)
            labels = np.unique(classes.labels[draw.indices])
            assert len(labels) == 3
            seen.add(int(classes.groups[labels[0]]))
            assert len(set(classes.groups[labels])) == 1
        assert seen == {0, 1}  # group 2 has one class: there is nothing to tell it from

    def test_every_class_is_drawn_evenly(self):
        classes = table([3] * 8)
        sampler = ClassesByImages(classes, 6, 0, images=2)
        drawn = [classes.labels[sampler.draw(step).indices] for step in range(400)]
        shares = np.bincount(np.concatenate(drawn)) / (400 * 6)
        np.testing.assert_allclose(shares, 1 / 8, atol=0.02)

    def test_a_group_is_drawn_in_proportion_to_its_classes(self):
        classes = table([2] * 8, [0, 0, 1, 1, 1, 1, 1, 1])
        sampler = ClassesByImages(classes, 4, 0, groups=1)
        labels = [classes.labels[sampler.draw(step).indices[0]] for step in range(400)]
        assert np.mean(np.array(labels) < 2) == pytest.approx(2 / 8, abs=0.06)

    def test_classes_of_two_groups(self):
        classes = table([4] * 8, [0] * 4 + [1] * 4)
        draw = ClassesByImages(classes, 12, 0, images=2, groups=2).draw(0)
        labels = np.unique(classes.labels[draw.indices])
        assert np.bincount(classes.groups[labels]).tolist() == [3, 3]

    @pytest.mark.parametrize(
        ("batch", "options", "message"),
        [
            (3, {"images": 2}, "too small"),
            (8, {"images": 1}, "2 or above"),
            (8, {"groups": 2}, "there are 1"),
        ],
    )
    def test_impossible_wishes(self, batch, options, message):
        with pytest.raises(ValueError, match=message):
            ClassesByImages(table([4] * 4), batch, 0, **options)
