"""Each pair has its turn once, by what its classes had no part in."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from model_store.network import SiameseNetwork
from tests.training import small
from tests.training.trees import embedded
from training.crossing import crossed


class TestTurns:
    """Sets of classes chosen by hand, each with features of its own."""

    @staticmethod
    def run(sets, names, *, seed=0, most=1000):
        made = embedded(np.zeros((len(names), 8)), names)
        asked = []

        def without(classes: np.ndarray) -> tuple[SiameseNetwork, torch.Tensor]:
            asked.append(classes.tolist())
            return small.network("euclidean"), features_of(classes, len(names))

        found = crossed(
            made, [np.array(one) for one in sets], without, max_impostors=most, seed=seed
        )
        return found, asked

    def test_each_pair_is_scored_once_by_the_first_set_that_holds_both_its_classes(self):
        sets, names = [[0, 1], [0, 1, 2], [1, 2]], "aabbcc"
        found, asked = self.run(sets, names)
        assert asked == [[0, 1], [0, 1, 2], [2]], "every pair of the last had its turn"
        scored = found.scored
        for pairs, scores, count in (
            (scored.genuine_pairs, scored.genuine, 3),
            (scored.impostor_pairs, scored.impostor, 12),
        ):
            places = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
            assert len(set(places)) == len(places) == count
            assert pairs.coverage == "exhaustive"
            for (left, right), score in zip(places, scores, strict=True):
                rows = features_of(sets[0 if max(left, right) < 4 else 1], 6).numpy()
                one, two = (row / np.linalg.norm(row) for row in rows[[left, right]])
                assert score == pytest.approx(np.linalg.norm(one - two), rel=1e-5)

    def test_classes_have_a_turn_of_their_own_though_their_pairs_had_theirs(self):
        found, asked = self.run([[0, 1], [0, 2, 3], [2, 3]], "aabbccdd")
        assert asked == [[0, 1], [0, 2, 3], [2, 3]]
        assert [np.flatnonzero(turn.held).tolist() for turn in found.turns] == [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
        ]
        assert found.turns[1].features.tolist() == features_of([2, 3], 8).numpy().tolist()

    def test_classes_that_no_set_leaves_for_a_turn_have_the_last_and_no_pairs_in_it(self):
        found, asked = self.run([[0, 1], [1, 2]], "aabbbccdd")
        assert asked == [[0, 1], [1, 2], [2, 3]]
        assert [np.flatnonzero(turn.held).tolist() for turn in found.turns] == [
            [0, 1, 2, 3, 4],
            [5, 6, 7, 8],
        ]
        assert found.turns[1].features.tolist() == features_of([2, 3], 9).numpy().tolist()
        assert found.scored.genuine_class.tolist() == [0, 1, 1, 1, 2]

    def test_too_many_impostors_are_drawn_by_the_seed_from_all_of_a_set(self):
        names = "a" * 10 + "b" * 10
        first, again, other = (
            self.run([[0, 1]], names, seed=seed, most=20)[0].scored for seed in (0, 0, 1)
        )
        pairs = first.impostor_pairs
        assert (len(pairs.left), pairs.coverage, pairs.limited) == (20, "sample", True)
        assert len(set(pairs.left)) > 5, "and not the first ones"
        assert first.impostor.tolist() == again.impostor.tolist()
        assert first.impostor.tolist() != other.impostor.tolist()

    def test_the_sample_is_even_over_sets_whose_pairs_are_many_and_few(self):
        """All pairs of a, b and c are the first set's; the other has those of d with a alone."""
        names = "a" * 20 + "b" * 20 + "c" * 20 + "d" * 20
        scored = self.run([[0, 1, 2], [0, 3]], names, most=800)[0].scored
        assert len(scored.impostor) == 800
        _, of_each = np.unique(np.sort(scored.impostor_classes), axis=0, return_counts=True)
        # Half of the 400 pairs of two classes: 200, give or take 9 (the standard deviation).
        assert of_each == pytest.approx([200] * 4, abs=40)

    def test_classes_keep_their_names_and_groups(self):
        scored = self.run([[0, 1, 2]], ["g/a", "g/a", "g/b", "h/c"])[0].scored
        assert scored.class_names == ("g/a", "g/b", "h/c")
        assert scored.group_of_class.tolist() == [0, 0, 1]
        assert scored.genuine_class.tolist() == [0]
        assert scored.images == 4


def features_of(classes: Iterable[int], images: int) -> torch.Tensor:
    seed = sum(1 << int(label) for label in classes)
    return torch.randn(images, 8, generator=torch.Generator().manual_seed(seed))
