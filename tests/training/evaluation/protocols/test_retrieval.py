import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training import small
from tests.training.trees import embedded
from training.errors import DataError
from training.evaluation.intervals import bootstrap_mean, clopper_pearson, with_exact
from training.evaluation.protocols.retrieval import rank, retrieval, retrieval_figures, search


def at(*places):
    return [[place, *[0] * 7] for place in places]


def test_leave_one_out_by_hand():
    # Nearest: 0→1 (a), 1→0 (a), 4→5 (wrong), 5→4 (wrong), 9→5 (wrong), 20→9 has no class-mate.
    found = retrieval(embedded(at(0, 1, 4, 5, 9, 20), "aabcbd"), small.network("euclidean"))
    assert found.leave_one_out
    assert (found.queries, found.excluded_queries, found.gallery) == (4, 2, 6)
    assert found.classes == 2
    assert found.recall_at_1 == 0.5
    assert found.recall_at_5 == 1
    # b at 4 finds b at 9 behind 5 (1), 1 (3), 0 (4) — rank 4; b at 9 finds 4 behind 5 — rank 2.
    assert found.map == pytest.approx((1 + 1 + 1 / 4 + 1 / 2) / 4)


def test_a_gallery_is_matched_by_name_and_strangers_are_counted():
    queries = embedded(at(0, 10, 5), ["b", "c", "only here"], source="queries")
    gallery = embedded(at(1, 9, 4), ["b", "c", "only there"], source="gallery")
    found = retrieval(queries, small.network("euclidean"), gallery=gallery)
    assert not found.leave_one_out
    assert (found.queries, found.excluded_queries, found.gallery) == (2, 1, 3)
    assert found.recall_at_1 == 1
    assert found.map == 1


def test_the_same_images_on_the_other_side_are_left_one_out():
    rows, names = at(0, 1, 4, 5), "aabb"
    network = small.network("euclidean", sides=2)
    found = retrieval(embedded(rows, names), network, gallery=embedded(rows, names))
    assert found.leave_one_out
    assert found.recall_at_1 == 1


def test_queries_that_are_a_part_of_the_gallery_do_not_find_themselves(tmp_path, monkeypatch):
    """As `--classes` and `report --max-images` make them: fewer, relabelled, at other rows."""
    monkeypatch.chdir(tmp_path)
    network = small.network("euclidean")
    rows, names = at(20, 21, 0, 1, 4, 5, 9), "aabcbdc"
    alone = search(embedded(rows, names, source="x"), network)
    whole = embedded(rows, names, source=str(tmp_path / "x"))
    part = embedded(rows, names, source="x").subset([1, 2, 3])
    found = search(part, network, gallery=whole)
    assert found.leave_one_out
    assert (found.gallery, found.excluded) == (7, 1)
    # All queries of other classes than `a` meet the same images in either search.
    assert found.ranks == alone.ranks[2:]
    assert found.answers.right.tolist() == alone.answers.right[2:].tolist()
    assert found.answers.wrong.tolist() == alone.answers.wrong[2:].tolist()


def test_queries_of_which_some_are_in_the_gallery_find_the_others():
    network = small.network("euclidean")
    queries = embedded(at(0, 1), "aa", files=["here.png", "elsewhere.png"])
    gallery = embedded(at(0, 3, 2.5), "aab", files=["here.png", "other.png", "b.png"])
    found = search(queries, network, gallery=gallery)
    # At 0 it is itself left out and finds 3 behind the 2.5 of b; at 1 the 0 is found first.
    by_query = dict(
        zip(queries.embeddings[found.answers.query, 0].tolist(), found.ranks, strict=True)
    )
    assert by_query[0].first == 2
    assert by_query[1].first == 1


def test_a_collapsed_network_finds_nothing():
    found = retrieval(embedded(at(0, 0, 0, 0, 0, 0, 0, 0), "aabbccdd"), small.network("euclidean"))
    assert (found.recall_at_1, found.recall_at_5) == (0, 0)


def test_similarities_are_ranked_from_the_highest():
    rows = np.eye(8)[[0, 0, 1, 1]] + 0.1 * np.random.default_rng(0).random((4, 8))
    assert retrieval(embedded(rows, "aabb"), small.network("cosine")).recall_at_1 == 1


def test_blocks_of_queries_make_no_difference(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(30, 8))
    whole = retrieval(embedded(rows, "abcde" * 6), small.network("euclidean"))
    monkeypatch.setattr("training.evaluation.protocols.retrieval._BLOCK", 70)
    assert retrieval(embedded(rows, "abcde" * 6), small.network("euclidean")) == whole
    low, high = whole.recall_at_1_interval
    assert low <= whole.recall_at_1 <= high


def test_it_says_how_many_queries_are_done(monkeypatch):
    monkeypatch.setattr("training.evaluation.protocols.retrieval._BLOCK", 70)
    told = []
    rows = np.random.default_rng(0).normal(size=(7, 8))
    retrieval(embedded(rows, "abababa"), small.network("euclidean"), on_progress=told.append)
    assert told == [7]
    monkeypatch.setattr("training.evaluation.protocols.retrieval._BLOCK", 21)
    search(embedded(rows, "abababa"), small.network("euclidean"), on_progress=told.append)
    assert told == [7, 3, 6, 7]


def test_nothing_to_find_is_refused():
    with pytest.raises(DataError, match="names of their folders"):
        retrieval(embedded(at(0, 1), "ab"), small.network())


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=9
    ).filter(lambda entries: any(same for _, same in entries))
)
def test_ranks_and_precision_agree_with_a_loop(entries):
    """Of equal scores, those of other classes come first."""
    ordered = sorted(entries, key=lambda entry: (-entry[0], entry[1]))
    precisions, hits = [], 0
    for position, (_, same) in enumerate(ordered, 1):
        if same:
            hits += 1
            precisions.append(hits / position)
    found = rank(np.array([score for score, _ in entries]), np.array([same for _, same in entries]))
    assert found.first == next(n for n, (_, same) in enumerate(ordered, 1) if same)
    assert found.average_precision == pytest.approx(np.mean(precisions))


def test_the_fifth_is_among_five():
    queries = embedded(at(0), "a", source="queries")
    gallery = embedded(at(1, 2, 3, 4, 5), "bcdea", source="gallery")
    found = retrieval(queries, small.network("euclidean"), gallery=gallery)
    assert (found.recall_at_1, found.recall_at_5) == (0, 1)
    assert found.recall_at_1_interval[0] == 0
    assert found.recall_at_5_interval[1] == 1


def test_files_of_the_same_names_in_another_folder_are_a_gallery():
    rows, names = at(0, 1, 4, 5), "aabb"
    photos, shop = (embedded(rows, names, source=source) for source in ("photos", "shop"))
    assert photos.folder.items == shop.folder.items
    found = retrieval(photos, small.network("euclidean"), gallery=shop)
    assert not found.leave_one_out
    assert found.map == 1


def test_the_interval_of_the_precision_is_by_drawing_classes():
    rows = np.random.default_rng(0).normal(size=(30, 8))
    found = search(embedded(rows, "aaaaaabcde" * 3), small.network("euclidean"))
    precision = [entry.average_precision for entry in found.ranks]
    drawn = bootstrap_mean(precision, found.classes, seed=3)
    # More than the thirty queries vary themselves, as the classes differ.
    expected = with_exact(drawn, np.mean(precision), 30)
    assert retrieval_figures(found, seed=3).map_interval == expected
    assert drawn != bootstrap_mean(precision, np.arange(30), seed=3)


def test_where_no_error_was_seen_no_interval_is_a_point():
    found = retrieval(embedded(at(0, 1, 10, 11, 20, 21), "aabbcc"), small.network("euclidean"))
    assert (found.map, found.recall_at_1) == (1, 1)
    assert found.map_interval == found.recall_at_1_interval == clopper_pearson(6, 6)
