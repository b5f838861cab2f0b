from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training import small
from tests.training.trees import embedded
from training.evaluation.episodes import Episode
from training.evaluation.intervals import clopper_pearson
from training.evaluation.protocols.one_shot import (
    answered,
    can_play,
    one_shot,
    one_shot_figures,
    play,
    score_episodes,
)


def clouds(spread, groups=2, classes=6, images=4):
    return clouds_of(spread, [f"g{g}/c{c}" for g in range(groups) for c in range(classes)], images)


def clouds_of(spread, names, images=4):
    generator = np.random.default_rng(0)
    centres = np.repeat(generator.normal(size=(len(names), 8)), images, axis=0)
    rows = centres + spread * generator.normal(size=centres.shape)
    files = [f"{n:04}_{d:02}.png" for n in range(len(names)) for d in range(1, images + 1)]
    return embedded(rows, np.repeat(names, images).tolist(), files=files)


def test_answers_by_hand():
    places = torch.zeros(6, 8)
    places[:, 0] = torch.tensor([0.0, 10.0, 20.0, 1.0, 19.0, 14.0])
    # Queries 1, 19, 14 of the classes at 0, 10, 20: right, wrong (20 is nearer), wrong (10 is).
    episode = Episode(0, np.array([0, 1, 2]), np.array([3, 4, 5]))
    (found,) = score_episodes(small.network("euclidean"), places, places, [episode])
    assert found.tolist() == [[1, 9, 19], [19, 9, 1], [14, 4, 6]]
    assert answered(-found).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("groups", "classes", "images", "possible"),
    [(2, 2, 2, True), (2, 1, 2, False), (2, 2, 1, False), (1, 2, 2, False)],
)
def test_whether_there_are_trials_within_groups(groups, classes, images, possible):
    assert can_play(clouds(0.1, groups, classes, images), None) is possible


def test_no_trials_within_groups_where_the_sides_show_other_images():
    queries, candidates = clouds(0.1, images=4), clouds(0.1, images=2)
    assert can_play(queries, queries)
    assert not can_play(queries, candidates)


def test_a_tie_is_wrong():
    places = torch.zeros(4, 8)
    episode = Episode(0, np.array([0, 1]), np.array([2, 3]))
    (found,) = score_episodes(small.network("euclidean"), places, places, [episode])
    assert answered(-found).tolist() == [False, False]


@pytest.mark.parametrize("comparator", ["euclidean", "cosine"])
def test_classes_that_lie_apart_are_always_told(comparator):
    found = one_shot(clouds(0.01), small.network(comparator), ways=5, trials=200)
    assert found.accuracy == 1
    # There are 48 images, of which no more can have been asked in however many trials.
    low, high = found.interval
    assert clopper_pearson(40, 40)[0] < low <= clopper_pearson(48, 48)[0]
    assert high == 1
    for name, few in found.accuracy_by_group_interval.items():
        assert few[0] < low, name
    assert (found.trials, found.episodes, found.ways, found.fewest_ways) == (200, 40, 5, 5)
    assert (found.groups, found.drawers) == (2, True)
    assert found.accuracy_by_group == {"g0": 1, "g1": 1}


@pytest.mark.parametrize(("groups", "drawn"), [(3, False), (4, True)])
def test_alphabets_that_differ_say_little_of_others(groups, drawn):
    """All characters of some alphabets are told apart, and none of the others."""
    played = play(clouds(0.01, groups), small.network("euclidean"), ways=5, trials=400)
    scores = [
        matrix[::-1] if episode.group % 2 else matrix
        for matrix, episode in zip(played.scores, played.episodes, strict=True)
    ]
    found = one_shot_figures(
        replace(played, scores=tuple(scores)), [f"g{n}" for n in range(groups)]
    )
    assert set(found.accuracy_by_group.values()) == {0.2, 1}
    low, high = found.interval
    assert (high - low > 0.6) == drawn


def test_noise_is_told_by_chance():
    found = one_shot(clouds(1000, classes=12, images=12), small.network(), ways=4, trials=4000)
    assert found.accuracy == pytest.approx(1 / 4, abs=0.05)
    assert found.interval[0] < found.accuracy < found.interval[1]
    shares = found.accuracy_by_group.values()
    assert min(shares) <= found.accuracy <= max(shares)


def test_blocks_and_repetition_make_no_difference(monkeypatch):
    whole = one_shot(clouds(1.0), small.network(), ways=4, trials=300, seed=2)
    monkeypatch.setattr("training.evaluation.protocols.one_shot._BLOCK", 50)
    assert one_shot(clouds(1.0), small.network(), ways=4, trials=300, seed=2) == whole
    assert one_shot(clouds(1.0), small.network(), ways=4, trials=300, seed=3) != whole


def test_fewer_classes_than_ways_are_said():
    found = one_shot(clouds(0.01, groups=1), small.network(), ways=20, trials=30)
    assert (found.ways, found.fewest_ways, found.trials) == (6, 6, 30)
    assert found.accuracy_by_group == {}


@pytest.mark.parametrize(("asked", "expected"), [(20, (5, 3)), (4, (4, 4))])
def test_ways_are_what_queries_had_and_not_what_was_asked_for(asked, expected):
    names = [f"{group}/c{n}" for group, count in (("few", 3), ("more", 5)) for n in range(count)]
    found = one_shot(clouds_of(0.01, names), small.network(), ways=asked, trials=100)
    assert (found.ways, found.fewest_ways) == expected


@pytest.mark.parametrize("comparator", ["euclidean", "cosine"])
def test_pairs_and_answers_say_the_same_as_the_figures(comparator):
    images = clouds(1.0)
    played = play(images, small.network(comparator), ways=4, trials=60)
    figures = one_shot_figures(played, images.folder.group_names)
    answers, pairs = played.answers(), played.pairs()
    assert np.mean(answers.lead() > 0) == figures.accuracy
    for query, right, wrong in zip(answers.query, answers.right, answers.wrong, strict=True):
        assert images.labels[query] == images.labels[right] != images.labels[wrong]
        assert query != right
    assert (len(pairs.genuine), len(pairs.impostor)) == (60, 60 * 3)
    assert (pairs.genuine == answers.right_score).all()
    assert (images.labels[pairs.genuine_pairs.left] == pairs.genuine_class).all()
    assert (images.labels[pairs.impostor_pairs.right] == pairs.impostor_classes[:, 1]).all()
    assert (pairs.impostor_classes[:, 0] != pairs.impostor_classes[:, 1]).all()
    for name, (low, high) in figures.accuracy_by_group_interval.items():
        assert low <= figures.accuracy_by_group[name] <= high


def test_candidates_are_scored_as_they_are_on_their_own_side():
    queries = clouds(1.0)
    candidates = replace(queries, embeddings=queries.embeddings.flip(1) + 1)
    played = play(queries, small.network("euclidean"), candidates=candidates, ways=4, trials=8)
    for episode, scores in zip(played.episodes, played.scores, strict=True):
        for row, query in enumerate(episode.queries):
            for column, candidate in enumerate(episode.candidates):
                apart = queries.embeddings[query] - candidates.embeddings[candidate]
                assert scores[row, column] == pytest.approx(float(apart.norm()), rel=1e-5)


def test_another_seed_draws_other_episodes():
    first, again, other = (
        [
            entry.queries.tolist()
            for entry in play(clouds(1.0), small.network(), ways=4, trials=40, seed=seed).episodes
        ]
        for seed in (1, 1, 2)
    )
    assert first == again != other
