"""Scores of two embeddings, by hand and whichever comes first."""

import math

import numpy as np
import pytest
import torch

from model_store.errors import StoreError
from model_store.network import ComparatorSpec, SiameseNetwork
from model_store.network.comparators import COMPARATORS
from model_store.network.comparators.absolute_difference import AbsoluteDifferenceSigmoid
from model_store.network.comparators.cosine import Cosine
from model_store.network.comparators.euclidean import Euclidean
from model_store.network.comparators.exponential import ExponentialL1
from model_store.network.comparators.signed_difference import SignedDifferenceSigmoid
from tests import tiny


def test_the_published_comparator_gives_identical_images_a_constant():
    comparator = AbsoluteDifferenceSigmoid(6).eval()
    scores = [comparator(f, f).item() for f in torch.randn(5, 1, 6)]
    constant = comparator.layers(torch.zeros(1, 6)).sigmoid().item()
    assert scores == pytest.approx([constant] * 5)


def test_comparators_by_hand():
    left, right = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [2.0, 2.0]])
    assert Euclidean(2)(left, right).tolist() == pytest.approx([5.0, math.sqrt(2)])
    assert Cosine(2)(left, right).tolist() == pytest.approx([0.0, 1.0])


def test_one_embedding_meets_many():
    one, many = torch.randn(1, 8), torch.randn(5, 8)
    for comparator in (Euclidean(8), Cosine(8), AbsoluteDifferenceSigmoid(8)):
        row_by_row = torch.cat([comparator(one, row[None]) for row in many])
        assert torch.allclose(comparator(one, many), row_by_row, atol=1e-6)
        turned = torch.cat([comparator(row[None], one) for row in many])
        assert torch.allclose(comparator(many, one), turned, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, made in COMPARATORS.items() if made.symmetric])
def test_the_order_of_two_embeddings_changes_no_bit_of_a_symmetric_score(name):
    comparator = COMPARATORS[name](1280).eval()
    one, other = torch.randn(2, 50, 1280, generator=torch.Generator().manual_seed(0)) / 1280
    alone = zip(one[:, None], other[:, None], strict=True)
    for first, second in ((one, other), (one[:1], other), *alone):
        assert torch.equal(comparator(first, second), comparator(second, first))


@pytest.mark.parametrize("made", [Cosine, Euclidean, ExponentialL1])
def test_equal_pairs_have_equal_scores_wherever_they_stand(made):
    for dimension in (16, 128, 1280):
        one, other = torch.randn(2, 1, dimension, generator=torch.Generator().manual_seed(0)) / 40
        scores = [made(dimension)(one, other.repeat(count, 1)) for count in (*range(1, 18), 205)]
        assert len(torch.cat(scores).unique()) == 1


@pytest.mark.parametrize("name", COMPARATORS)
def test_one_with_many_in_numpy_has_the_scores_of_the_layers(name):
    comparator = COMPARATORS[name](64).eval()
    one, many = torch.randn(1, 64), torch.randn(50, 64)
    for one_is_left, wanted in ((True, comparator(one, many)), (False, comparator(many, one))):
        found = comparator.one_with_many(one[0].numpy(), many.numpy(), one_is_left=one_is_left)
        assert found.dtype == np.float32
        assert found.tolist() == pytest.approx(wanted.tolist(), abs=1e-6)


def test_a_cosine_in_numpy_depends_on_nothing_but_the_two_embeddings():
    rows = np.random.default_rng(0).standard_normal((205, 1280), np.float32) / 40
    scores = Cosine(1280).one_with_many(rows[0], rows)
    for number in range(205):
        assert Cosine(1280).one_with_many(rows[number], rows[:1])[0] == scores[number]
    # A client's floats begin wherever the part of its body does.
    unaligned = np.frombuffer(b"x" + rows.tobytes(), np.uint8)[1:].view(np.float32)
    assert np.array_equal(Cosine(1280).one_with_many(rows[0], unaligned.reshape(205, -1)), scores)
    edges = np.array([rows[0] * 1e9, rows[0] * 1e-9, -rows[0], 0 * rows[0]])
    found = Cosine(1280).one_with_many(rows[0], edges)
    assert found.tolist() == pytest.approx([1, 1e-9 * np.linalg.norm(rows[0]) / 1e-8, -1, 0])
    assert np.abs(found).max() <= 1


def test_a_cosine_is_one_at_most_however_long_or_short_embeddings_are():
    rows = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    scales = torch.logspace(-6, 6, len(rows))[:, None]
    for scores in (Cosine(8)(rows, rows * scales), Cosine(8)(rows[:1], rows[:1] * scales)):
        assert scores.max() == 1
        assert scores.min() > 0.999
    assert Cosine(8)(rows[:1], torch.zeros(3, 8)).tolist() == [0, 0, 0]
    by_hand = torch.tensor([[0.03, 0.04], [0.4, -0.3], [-0.3, -0.4]])
    found = Cosine(2)(torch.tensor([[0.3, 0.4]]), by_hand)
    assert found.tolist() == pytest.approx([1, 0, -1], abs=1e-6)


def test_scores_of_embeddings_in_half_precision_are_computed_in_float32():
    # Differences that bfloat16 would round to 4 and 256.
    left = torch.tensor([[4.0, 0.0]], dtype=torch.bfloat16)
    right = torch.tensor([[0.005, 0.0]], dtype=torch.bfloat16)
    apart = 4 - right[0, 0].item()
    assert ExponentialL1(2)(left, right).item() == pytest.approx(math.exp(-apart), rel=1e-6)
    assert Euclidean(2)(left, right).item() == pytest.approx(apart, rel=1e-6)
    assert Cosine(2)(left, left).dtype == torch.float32
    sigmoid = AbsoluteDifferenceSigmoid(2, hidden=3).to(torch.bfloat16)
    assert sigmoid(left, right).dtype == torch.float32


@pytest.mark.parametrize(("activation", "logit"), [("none", 1.05), ("relu", 1.35)])
def test_the_absolute_comparator_by_hand(activation: str, logit: float):
    comparator = AbsoluteDifferenceSigmoid(2, hidden=3, activation=activation)
    first, last = comparator.layers[0], comparator.layers[-1]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 1.0]]))
        first.bias.zero_()
        last.weight.copy_(torch.tensor([[0.1, 0.2, 0.3]]))
        last.bias.fill_(0.1)
    left, right = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.5]])
    # Between the layers: 2, -1.5 and 3.5.
    for scores in (comparator(left, right), comparator(right, left)):
        assert scores.item() == pytest.approx(1 / (1 + math.exp(-logit)))


@pytest.mark.parametrize(
    ("comparator", "options"),
    [
        ("signed-difference-sigmoid", {"dropout": 2.0}),
        ("signed-difference-sigmoid", {"hidden": "many"}),
        ("absolute-difference-sigmoid", {"hidden": -1}),
        ("absolute-difference-sigmoid", {"hidden": 10**30}),
        ("cosine", {"margin": 1}),
    ],
)
def test_a_comparator_with_options_that_cannot_be_says_so(comparator: str, options: dict):
    spec = tiny.network_spec().model_copy(
        update={"comparator": ComparatorSpec(name=comparator, options=options)}
    )
    with pytest.raises(StoreError, match=f"comparator '{comparator}' cannot be built with"):
        SiameseNetwork(spec, tiny.GREY_32)


def test_signed_and_exponential_comparators_by_hand():
    left, right = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 0.5]])
    assert ExponentialL1(2)(left, right).item() == pytest.approx(math.exp(-2.5))
    comparator = SignedDifferenceSigmoid(2, hidden=3).eval()
    first, _, _, last = comparator.layers
    hidden = (first.weight @ torch.tensor([-1.0, 1.5]) + first.bias).clamp(min=0)
    by_hand = (last.weight[0] @ hidden + last.bias[0]).sigmoid()
    assert comparator(left, right).item() == pytest.approx(by_hand.item())
    assert comparator(left, right).item() != comparator(right, left).item()
    assert not comparator.symmetric
    with_dropout = SignedDifferenceSigmoid(2, hidden=3, dropout=0.2)
    assert with_dropout.layers[2].p == 0.2
