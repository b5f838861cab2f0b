"""What share of a batch each loss has right, against slow loops and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.training.losses.batches import batch_of
from training.data.batch import Batch
from training.losses import LOSSES
from training.losses.accuracy import share_in_order

LABELS = [0, 0, 0, 1, 1, 2]


def vectors(count: int, seed: int = 0, dimension: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimension, generator=generator).requires_grad_()


def accuracy(name: str, embeddings, of: Batch, *, comparator="euclidean", **options) -> float:
    loss = LOSSES[name](embeddings.shape[1], 3, **options)
    measured = loss.measured(tiny.network(comparator), embeddings, of)
    assert measured.accuracy.shape == ()
    assert not measured.accuracy.requires_grad
    return float(measured.accuracy)


def share_of_triplets(embeddings, labels) -> float:
    rows = range(len(labels))
    right = [
        math.dist(embeddings[a].tolist(), embeddings[p].tolist())
        < math.dist(embeddings[a].tolist(), embeddings[n].tolist())
        for a in rows
        for p in rows
        for n in rows
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    return sum(right) / len(right)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from("+-0"), min_size=1, max_size=8), st.integers(0, 99))
def test_the_share_in_order_is_that_of_a_loop(marks, seed):
    distances = torch.rand(2, len(marks), generator=torch.Generator().manual_seed(seed))
    positive, negative = (torch.tensor([m == mark for m in marks]).expand(2, -1) for mark in "+-")
    right = [
        bool(row[p] < row[n])
        for row in distances
        for p in range(len(marks))
        for n in range(len(marks))
        if marks[p] == "+" and marks[n] == "-"
    ]
    found = float(share_in_order(distances, positive, negative))
    assert found == pytest.approx(sum(right) / len(right) if right else 0.0)


@pytest.mark.parametrize("mining", ["all", "semi-hard", "batch-hard"])
@pytest.mark.parametrize("name", ["triplet-margin", "triplet-softmax"])
def test_a_triplet_loss_counts_all_triplets_whichever_it_learns_from(name, mining):
    points = vectors(6)
    found = accuracy(name, points, batch_of(LABELS), mining=mining)
    assert found == pytest.approx(share_of_triplets(points, LABELS))


def test_a_triplet_loss_with_nothing_left_to_learn_has_all_of_them_right():
    points = torch.tensor([[0.0, 0], [0.1, 0], [9, 0], [9.1, 0]], requires_grad=True)
    assert accuracy("triplet-margin", points, batch_of([0, 0, 1, 1])) == 1


def test_supervised_contrastive_counts_the_triplets_of_directions():
    points = vectors(6)
    unit = torch.nn.functional.normalize(points, dim=1)
    found = accuracy("supervised-contrastive", points, batch_of(LABELS))
    assert found == pytest.approx(share_of_triplets(unit, LABELS))


def test_contrastive_counts_genuine_pairs_nearer_than_impostor_pairs():
    points = torch.tensor([[0.0, 0], [1, 0], [3, 0], [7, 0]])
    # Genuine pairs at 1 and 4; impostor pairs at 3 and 7.
    pairs, same = [(0, 1), (2, 3), (0, 2), (0, 3)], [1, 1, 0, 0]
    assert accuracy("contrastive", points, batch_of([0, 0, 1, 1], pairs, same)) == 0.75


def test_contrastive_by_a_similarity_takes_the_more_alike_for_the_nearer():
    points = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [1, 1]])
    pairs, same = [(0, 1), (2, 3)], [1, 0]
    of = batch_of([0, 0, 1, 1], pairs, same)
    assert accuracy("contrastive", points, of, comparator="cosine") == 1


def test_cross_entropy_counts_pairs_on_the_right_side_of_a_half():
    network = tiny.network("absolute-difference-sigmoid")
    points = vectors(8, dimension=8).detach()
    pairs = [(row, other) for row in range(8) for other in range(row)]
    same = [number % 2 for number in range(len(pairs))]
    with torch.no_grad():
        scores = [network.comparator(points[a][None], points[b][None]).item() for a, b in pairs]
    right = [(score > 0.5) == bool(one) for score, one in zip(scores, same, strict=True)]
    loss = LOSSES["binary-cross-entropy"](8, 3)
    found = loss.measured(network, points, batch_of([0] * 8, pairs, same)).accuracy
    assert float(found) == pytest.approx(sum(right) / len(right))


def test_a_softmax_counts_images_nearest_to_their_classs_prototype():
    loss = LOSSES["cosine-softmax"](2, 3, margin=0.3)
    with torch.no_grad():
        loss.prototypes.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]))
    # The second is right by less than the margin, the third wrong.
    points = torch.tensor([[2.0, 0.1], [1, 0.9], [0.1, 1], [-1, 0]])
    found = loss.measured(tiny.network(), points, batch_of([0, 0, 2, 2])).accuracy
    assert float(found) == 0.75


def test_prototypical_counts_its_queries():
    points = torch.tensor([[0.0, 0], [5, 0], [1, 0], [1.5, 0], [6, 0]])
    assert accuracy("prototypical", points, batch_of([0, 1, 0, 1, 1])) == pytest.approx(2 / 3)


def test_whitened_contrastive_tells_apart_what_lies_apart_once_whitened():
    generator = torch.Generator().manual_seed(0)
    labels = [label for label in range(6) for _ in range(4)]
    noise = torch.randn(24, 4, generator=generator) * torch.tensor([30.0, 1, 1, 1])
    centres = torch.randn(6, 4, generator=generator) * torch.tensor([0.0, 9, 9, 9])
    points = noise + centres[labels]
    assert share_of_triplets(points[16:], labels[16:]) < 0.9
    of = batch_of(labels)
    assert accuracy("whitened-contrastive", points, of, shrinkage=0.01) == 1


def test_a_total_has_that_of_its_first_part():
    points = vectors(6)
    parts = [{"name": "triplet-margin"}, {"name": "prototypical", "weight": 3.0}]
    found = accuracy("total", points, batch_of(LABELS), parts=parts)
    assert found == accuracy("triplet-margin", points, batch_of(LABELS))


@pytest.mark.parametrize("name", ["triplet-softmax", "contrastive", "supervised-contrastive"])
def test_embeddings_that_are_all_the_same_are_not_called_right(name):
    pairs = [(a, b) for a in range(12) for b in range(a)]
    labels = [row // 3 for row in range(12)]
    same = [labels[a] == labels[b] for a, b in pairs]
    points = torch.ones(12, 3)
    assert accuracy(name, points, batch_of(labels, pairs, same)) < 0.75
