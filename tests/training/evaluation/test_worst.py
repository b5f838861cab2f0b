import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.metric import Metric
from tests.training import small
from tests.training.scored import scored
from tests.training.trees import embedded
from training.evaluation.answers import NONE, Answers
from training.evaluation.pairs import score_folder
from training.evaluation.worst import worst_answers, worst_genuine, worst_impostors

SCORES = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])


def slowly(badness, kinds, count):
    """One of every kind first, each kind's worst; then what is left; all in order of badness."""
    order = sorted(range(len(badness)), key=lambda place: (-badness[place], place))
    seen, firsts, others = set(), [], []
    for place in order:
        (others if kinds[place] in seen else firsts).append(place)
        seen.add(kinds[place])
    return sorted((firsts + others)[:count], key=order.index)


@given(
    st.lists(st.tuples(SCORES, st.integers(0, 3), st.integers(4, 6)), min_size=1, max_size=20),
    st.integers(1, 8),
    st.sampled_from([Metric.COSINE_SIMILARITY, Metric.EUCLIDEAN_DISSIMILARITY]),
)
def test_the_worst_are_those_of_a_slow_loop(entries, count, metric):
    pairs = scored(
        [entry[0] for entry in entries],
        [entry[0] for entry in entries],
        metric=metric,
        genuine_class=[entry[1] for entry in entries],
        # Either order of two classes is the same two classes.
        impostor_classes=[entry[1:][:: (-1) ** n] for n, entry in enumerate(entries)],
    )
    sign = 1 if metric.higher_is_alike else -1
    alike = [sign * entry[0] for entry in entries]
    assert worst_impostors(pairs, count).tolist() == slowly(
        alike, [entry[1:] for entry in entries], count
    )
    assert worst_genuine(pairs, count).tolist() == slowly(
        [-value for value in alike], [entry[1] for entry in entries], count
    )


def test_the_worst_pairs_of_a_folder():
    # On a line: a at 0 and 9, b at 1 and 4, c at 20 and 21.
    places = [[place, *[0] * 7] for place in (0, 9, 1, 4, 20, 21)]
    pairs = score_folder(small.network("euclidean"), embedded(places, "aabbcc"))
    impostors = worst_impostors(pairs, 2)
    assert pairs.impostor[impostors].tolist() == [1, 11]
    assert pairs.impostor_pairs.left[impostors].tolist() == [0, 1]
    assert pairs.impostor_pairs.right[impostors].tolist() == [2, 4]
    assert pairs.genuine[worst_genuine(pairs, 9)].tolist() == [9, 3, 1]


def test_a_query_asked_twice_is_shown_at_its_worst():
    answers = Answers(
        Metric.EUCLIDEAN_DISSIMILARITY,
        query=np.array([0, 1, 0, 2]),
        right=np.array([5, 6, 5, 7]),
        wrong=np.array([8, 8, 9, NONE]),
        right_score=np.array([1.0, 2.0, 1.0, 1.0]),
        wrong_score=np.array([3.0, 1.5, 0.25, np.inf]),
    )
    assert answers.lead().tolist() == [2, -0.5, -0.75, np.inf]
    assert worst_answers(answers, 9).tolist() == [2, 1, 3]
    assert worst_answers(answers, 1).tolist() == [2]
