import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.metric import Metric
from model_store.network.comparators import SigmoidComparator
from tests.training import small
from tests.training.trees import embedded
from training.errors import DataError
from training.evaluation.answers import NONE
from training.evaluation.pairs import match_labels, pair_pool, score_folder
from training.evaluation.pool import PairPool, Pairs
from training.evaluation.scoring import score_matrix, score_pairs

labels = st.lists(st.integers(0, 3), min_size=1, max_size=8).map(np.array)
shapes = st.sampled_from(["within", "one folder twice", "some on both sides", "two folders"])


def made(left, right, shape):
    everywhere, nowhere = np.arange(len(left)), np.full(len(left), NONE)
    if shape == "within":
        return PairPool.within(left)
    if shape == "one folder twice":
        return PairPool(left, left, everywhere, ordered=True)
    if shape == "two folders":
        return PairPool(left, right, nowhere, ordered=True)
    # The last of the left images are the first of the right ones, in another order; their classes
    # need not be the same, as those of two folders may not be matched.
    both = min(len(left), len(right)) // 2 + 1
    nowhere[-both:] = np.arange(both)[::-1]
    return PairPool(left, right, nowhere, ordered=True)


def slow(pool, *, same):
    found = set()
    for i, a in enumerate(pool.left):
        for j, b in enumerate(pool.right):
            if (a == b) == same and pool.itself[i] != j and (pool.ordered or i < j):
                found.add((i, j))
    return found


def as_list(pairs):
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


@given(labels, labels, shapes)
def test_all_pairs_are_those_of_a_double_loop(left, right, shape):
    pool = made(left, right, shape)
    generator = np.random.default_rng(0)
    for same, total, pairs in (
        (True, pool.genuine_total, pool.genuine(10_000, generator)),
        (False, pool.impostor_total, pool.impostors(10_000, generator)),
    ):
        found = as_list(pairs)
        assert total == len(found)
        assert pairs.coverage == "exhaustive"
        assert len(found) == len(set(found))
        assert set(found) == slow(pool, same=same)


@settings(deadline=None)
@given(labels, labels, shapes, st.integers(1, 10), st.integers(0, 5))
def test_a_sample_has_its_size_and_no_pair_twice(left, right, shape, limit, seed):
    pool = made(left, right, shape)
    for same, draw in ((True, pool.genuine), (False, pool.impostors)):
        everything = slow(pool, same=same)
        pairs = draw(limit, np.random.default_rng(seed))
        found = as_list(pairs)
        assert len(found) == len(set(found)) == min(limit, len(everything))
        assert set(found) <= everything
        assert pairs.coverage == ("sample" if len(everything) > limit else "exhaustive")
        assert as_list(draw(limit, np.random.default_rng(seed))) == found


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ([0, 0, 0, 0, 1, 1, 2], None, True),
        ([0, 0, 0, 0, 1, 1, 2], None, False),
        ([1, 0, *[1] * 15, 2], None, False),
        ([*[1] * 20, 3, 0], [1, 2, *[1] * 20, 0], False),
    ],
    ids=["of one class", "of two", "of two, one having nearly all", "likewise of two folders"],
)
def test_a_sample_is_fair(left, right, same):
    pool = (
        PairPool.within(np.array(left))
        if right is None
        else PairPool(np.array(left), np.array(right), np.full(len(left), NONE), ordered=True)
    )
    everything = slow(pool, same=same)
    draws = 2000
    counts = dict.fromkeys(everything, 0)
    generator = np.random.default_rng(0)
    for _ in range(draws):
        for pair in as_list((pool.genuine if same else pool.impostors)(3, generator)):
            counts[pair] += 1
    expected = 3 * draws / len(everything)
    # Five standard errors.
    assert max(abs(count - expected) for count in counts.values()) < 5 * expected**0.5


def test_where_one_class_has_nearly_all_images_no_draw_is_in_vain():
    """Of any two images of these, one pair in 150 is of two classes."""
    pool = PairPool.within(np.array([*[0] * 3000, *range(1, 11)]))
    left, right = pool._draw_any(1000, np.random.default_rng(0))
    assert (pool.left[left] != pool.left[right]).all()


def test_scores_are_those_of_pairs_one_by_one():
    network = small.network("euclidean")
    rows = np.random.default_rng(0).normal(size=(7, 8))
    left = embedded(rows, "aabbbcc")
    scored = score_folder(network, left)
    assert scored.metric is Metric.EUCLIDEAN_DISSIMILARITY
    assert (len(scored.genuine), len(scored.impostor)) == (5, 16)
    assert scored.classes == 3
    for pairs, scores in (
        (scored.genuine_pairs, scored.genuine),
        (scored.impostor_pairs, scored.impostor),
    ):
        for (i, j), score in zip(as_list(pairs), scores, strict=True):
            distance = np.linalg.norm(left.embeddings[i] - left.embeddings[j])
            assert score == pytest.approx(float(distance), rel=1e-5)
    assert (left.labels[scored.genuine_pairs.left] == scored.genuine_class).all()
    assert (scored.impostor_classes[:, 0] != scored.impostor_classes[:, 1]).all()
    assert (scored.genuine_alike == -scored.genuine).all()


def test_chunks_make_no_difference(monkeypatch):
    network = small.network("cosine")
    left = embedded(np.random.default_rng(0).normal(size=(40, 8)), "abcd" * 10)
    whole = score_folder(network, left)
    monkeypatch.setattr("training.evaluation.scoring._CHUNK_VALUES", 1)
    parts = score_folder(network, left)
    assert np.allclose(whole.impostor, parts.impostor, atol=1e-6)


class SignedDifference(SigmoidComparator):
    """A comparator whose answer depends on the order, as that of the ResNet system does."""

    symmetric = False

    def __init__(self, dimension):
        super().__init__(dimension)
        self.weight = torch.nn.Parameter(torch.arange(1.0, dimension + 1))
        self.dropout = torch.nn.Dropout(0.5)

    def logit(self, left, right):
        return self.dropout(left - right) @ self.weight


def asymmetric(sides=1):
    network = small.network("euclidean", sides=sides)
    network.comparator = SignedDifference(8)
    return network


def test_where_the_order_matters_both_are_averaged():
    network = asymmetric().train()
    rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    pairs = Pairs(np.array([0, 1]), np.array([2, 3]))
    scores = score_pairs(network, rows, rows, pairs)
    assert network.comparator.training, "the mode is put back"
    weight = network.comparator.weight.detach()
    there = torch.sigmoid((rows[:2] - rows[2:]) @ weight)
    back = torch.sigmoid((rows[2:] - rows[:2]) @ weight)
    assert scores == pytest.approx(((there + back) / 2).numpy(), rel=1e-5)
    matrix = score_matrix(network, rows[:2], rows[2:])
    assert matrix.diagonal() == pytest.approx(scores, rel=1e-5)


def test_where_sides_differ_the_order_is_kept():
    network = asymmetric(sides=2).eval()
    rows = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    scores = score_pairs(network, rows, rows, Pairs(np.array([0]), np.array([1])))
    expected = torch.sigmoid((rows[0] - rows[1]) @ network.comparator.weight.detach())
    assert scores[0] == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match="right side"):
        score_folder(network, embedded(rows, "ab"))


def test_one_folder_on_two_sides_never_pairs_an_image_with_itself():
    network = small.network("euclidean", sides=2)
    rows = np.random.default_rng(0).normal(size=(5, 8))
    left, right = embedded(rows, "aabbb"), embedded(rows + 1, "aabbb")
    scored = score_folder(network, left, right)
    assert len(scored.genuine) == 2 + 6
    assert len(scored.impostor) == 2 * 6
    assert scored.images == 5


def test_a_part_of_a_folder_against_all_of_it_pairs_no_image_with_itself():
    """As `--classes` and `report --max-images` take it: fewer images, relabelled."""
    network = small.network("euclidean")
    rows, names = np.random.default_rng(0).normal(size=(9, 8)), "aaabbbccc"
    whole = embedded(rows, names)
    part = whole.subset([1, 2])
    scored = score_folder(network, part, whole)
    assert len(scored.genuine) == 2 * 3 * 2
    assert len(scored.impostor) == 2 * 3 * 6
    assert scored.genuine.min() > 0, "no image is compared with itself"
    assert scored.images == 9
    of_query = [(row + 3, column) for row, column in as_list(scored.genuine_pairs)]
    assert all(row != column for row, column in of_query)
    turned = score_folder(network, whole, part)
    assert sorted(turned.genuine) == pytest.approx(sorted(scored.genuine))
    assert turned.images == 9


def test_one_folder_is_one_however_its_path_is_spelt(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    rows, names = np.random.default_rng(0).normal(size=(5, 8)), "aabbb"
    left = embedded(rows, names, source="x")
    for spelt in (str(tmp_path / "x"), "y/../x", "linked"):
        scored = score_folder(small.network("euclidean"), left, embedded(rows, names, source=spelt))
        assert (len(scored.genuine), len(scored.impostor)) == (2 + 6, 2 * 6)
        assert scored.images == 5


def test_a_folder_inside_another_holds_the_same_images():
    rows = np.random.default_rng(0).normal(size=(4, 8))
    whole = embedded(rows, ["g/a", "g/a", "g/b", "g/b"], files=["1", "2", "1", "2"], source="x")
    inner = embedded(rows, "aabb", files=["1", "2", "1", "2"], source="x/g")
    scored = score_folder(small.network("euclidean"), inner, whole)
    assert (len(scored.genuine), len(scored.impostor)) == (4, 8)
    assert scored.images == 4


def test_an_image_is_no_impostor_of_itself_where_its_class_has_two_names():
    """`h/a` and `g/a` end alike, so that classes of the inner folder have no counterpart."""
    rows = np.random.default_rng(0).normal(size=(4, 8))
    whole = embedded(rows, ["g/a", "g/b", "h/a", "h/a"], files="1112", source="x")
    inner = embedded(rows[:2], "ab", files="11", source="x/g")
    pool = pair_pool(whole, inner)
    assert (pool.genuine_total, pool.impostor_total) == (0, 4 * 2 - 2)
    assert len(pool.impostors(100, np.random.default_rng(0)).left) == 6


def test_two_folders_are_matched_by_the_names_of_their_classes():
    left = embedded([[0] * 8, [1] * 8], ["b", "c"], source="left")
    right = embedded([[0] * 8, [1] * 8, [2] * 8], ["a", "b", "c"], source="right")
    assert match_labels(left, right).tolist() == [2, 0, 1]
    scored = score_folder(small.network("euclidean"), left, right)
    assert len(scored.genuine) == 2
    assert len(scored.impostor) == 4
    assert scored.images == 5
    assert scored.classes == 3
    assert scored.class_names == ("b", "c")
    pairs = scored.impostor_pairs
    assert scored.impostor_classes.tolist() == [
        [int(row), [2, 0, 1][column]] for row, column in zip(pairs.left, pairs.right, strict=True)
    ]


def test_scores_across_folders_are_those_of_the_left_image_and_the_right_one():
    left = embedded([[0] * 8, [1] * 8], ["a", "b"], source="left")
    right = embedded([[2] * 8, [4] * 8], ["a", "b"], source="right")
    scored = score_folder(small.network("euclidean"), left, right)
    assert sorted(scored.genuine) == pytest.approx([2 * 8**0.5, 3 * 8**0.5])
    assert sorted(scored.impostor) == pytest.approx([1 * 8**0.5, 4 * 8**0.5])


def test_other_images_of_one_source_are_paired_each_with_each():
    """As the photos and the catalogue pictures of one folder: no image is on both sides."""
    rows = np.random.default_rng(0).normal(size=(3, 8))
    left, right = (embedded(rows, "aab", files=[f"{side}{n}" for n in range(3)]) for side in "lr")
    scored = score_folder(small.network("euclidean", sides=2), left, right)
    assert len(scored.genuine) == 2 * 2 + 1
    assert scored.images == 6


def test_of_many_pairs_samples_of_the_sizes_asked_for_are_drawn_by_the_seed():
    left = embedded(np.random.default_rng(0).normal(size=(12, 8)), "aaaabbbbcccc")
    first, again, other = (
        score_folder(small.network(), left, seed=seed, max_genuine=7, max_impostors=11)
        for seed in (0, 0, 1)
    )
    assert (len(first.genuine), len(first.impostor)) == (7, 11)
    assert first.genuine_pairs.coverage == first.impostor_pairs.coverage == "sample"
    assert as_list(first.impostor_pairs) == as_list(again.impostor_pairs)
    assert as_list(first.impostor_pairs) != as_list(other.impostor_pairs)


def test_pairs_within_some_classes_are_those_of_a_folder_of_them():
    rows, names = np.random.default_rng(0).normal(size=(9, 8)), "aabbbccdd"
    network = small.network("euclidean")
    found = score_folder(network, embedded(rows, names)).within(np.array([0, 2]))
    alone = score_folder(network, embedded(rows[[0, 1, 5, 6]], "aacc"))
    assert found.genuine == pytest.approx(alone.genuine)
    assert found.impostor == pytest.approx(alone.impostor)
    assert found.genuine_class.tolist() == [0, 2]
    assert found.impostor_classes.tolist() == [[0, 2]] * 4
    assert as_list(found.genuine_pairs) == [(0, 1), (5, 6)]
    assert (found.images, found.classes) == (4, 2)
    single = score_folder(network, embedded(rows, names)).within(np.array([0, 3]))
    assert single.images == 4, "those in impostor pairs alone, too"


def test_images_of_classes_without_a_genuine_pair_take_part():
    scored = score_folder(small.network(), embedded(np.eye(4, 8), "aabc"))
    assert scored.classes == 3
    without = scored.within(np.array([0, 1]))
    assert (without.images, without.classes) == (3, 2)


@pytest.mark.parametrize(
    ("left", "right", "groups"),
    [
        (["g/a", "g/a", "h/b"], None, [0, 1]),
        (["g/a", "g/a", "h/b"], ["g/a", "h/b"], [0, 1]),
        (["g/a", "g/a", "h/b"], ["g/a", "h/c"], None),
        (["a", "a", "b"], None, None),
        (["g/a", "g/a", "b"], None, None),
    ],
    ids=["all", "on both sides", "a class of another folder", "none", "not all"],
)
def test_groups_are_told_where_every_class_is_of_one(left, right, groups):
    one = embedded(np.eye(3, 8), left)
    other = None if right is None else embedded(np.eye(2, 8), right, source="right")
    found = score_folder(small.network(), one, other).group_of_class
    assert (None if found is None else found.tolist()) == groups


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (["g/a", "g/b"], ["b", "c"], [1, 2]),
        (["a", "b"], ["g/a", "h/b"], [0, 1]),
        (["g/a", "g/b"], ["g/b", "h/a"], [1, 2]),
        (["g/a", "h/a"], ["a", "b"], [2, 3]),
    ],
)
def test_groups_on_one_side_only_do_not_matter_where_names_stay_unique(left, right, expected):
    one, two = (embedded([[0.0]] * len(names), names) for names in (left, right))
    assert match_labels(one, two).tolist() == expected


@pytest.mark.parametrize("names", ["aaa", "abc"])
def test_without_pairs_of_both_kinds_there_is_nothing_to_score(names):
    with pytest.raises(DataError, match="two classes"):
        score_folder(small.network(), embedded([[0] * 8, [1] * 8, [2] * 8], names))


def test_scores_that_are_no_numbers_are_an_error_that_says_so():
    rows = embedded([[np.nan] * 8, [1] * 8, [2] * 8], "aab")
    with pytest.raises(DataError, match="not numbers"):
        score_folder(small.network(), rows)
