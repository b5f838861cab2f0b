"""What each loss is worth when every embedding is the same vector."""

import math

import pytest
import torch

from tests import tiny
from training.data.batch import Batch
from training.losses import LOSSES
from training.losses.base import Loss

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])
GROUPS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
PAIRS = torch.tensor([[0, 1], [2, 3], [4, 5], [0, 2], [1, 4], [3, 7]])
SAME = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
DIMENSION, CLASSES = 8, 4


def batch(*, same=SAME, progress: float = 0.5) -> Batch:
    return Batch(torch.zeros(8, 1, 1, 1), LABELS, GROUPS, PAIRS, same, progress=progress)


def computed(loss: Loss, of: Batch, comparator: str = "euclidean") -> float:
    """The loss itself on constant embeddings, with parameters that say nothing of the pair."""
    network = tiny.network(comparator)
    with torch.no_grad():
        for parameter in network.comparator.parameters():
            parameter.zero_()
        for parameter in loss.parameters():
            parameter.copy_(torch.ones_like(parameter))
        constant = torch.linspace(-1, 2, DIMENSION).expand(len(LABELS), DIMENSION)
        return loss(network, constant, of).item()


@pytest.mark.parametrize(
    ("name", "options", "comparator", "expected"),
    [
        ("binary-cross-entropy", {}, "absolute-difference-sigmoid", math.log(2)),
        ("binary-cross-entropy", {}, "signed-difference-sigmoid", math.log(2)),
        ("contrastive", {"margin": 2.0}, "euclidean", 2.0),
        ("contrastive", {"margin": 0.6}, "cosine", 0.18),
        ("contrastive", {"margin": 0.6}, "exponential-l1", 0.18),
        ("triplet-margin", {"margin": 0.3, "mining": "all"}, "euclidean", 0.3),
        ("triplet-margin", {"margin": 0.3, "mining": "semi-hard"}, "euclidean", 0.3),
        ("triplet-margin", {"mining": "batch-hard", "normalise": True}, "euclidean", 0.2),
        ("triplet-softmax", {}, "euclidean", 0.5),
        ("prototypical", {}, "euclidean", math.log(4)),
        ("supervised-contrastive", {}, "euclidean", math.log(7)),
        ("supervised-contrastive", {"within_groups": True}, "euclidean", math.log(3)),
        # seven anchors, of which two twos have six impostors each and a three has five
        (
            "supervised-contrastive",
            {"one_positive": True},
            "euclidean",
            (4 * math.log(7) + 3 * math.log(6)) / 7,
        ),
        ("cosine-softmax", {"margin": 0.0}, "euclidean", math.log(4)),
        ("cosine-softmax", {"margin": 0.2}, "euclidean", None),
        ("cosine-softmax", {"margin": 0.2, "label_smoothing": 0.1}, "euclidean", None),
        ("cosine-softmax", {"margin": 0.2, "margin_warm_up": 0.8}, "euclidean", None),
    ],
)
def test_it_is_what_the_loss_gives(name, options, comparator, expected):
    loss = LOSSES[name](DIMENSION, CLASSES, **options)
    value = loss.collapsed_value(batch())
    assert value == pytest.approx(computed(loss, batch(), comparator), rel=1e-4)
    if expected is not None:
        assert value == pytest.approx(expected, rel=1e-6)


def test_pairs_that_are_not_balanced():
    odd = batch(same=torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    contrastive = LOSSES["contrastive"](DIMENSION, CLASSES, margin=3.0)
    assert contrastive.collapsed_value(odd) == pytest.approx(9 * 4 / 6)
    assert contrastive.collapsed_value(odd) == pytest.approx(computed(contrastive, odd))
    entropy = LOSSES["binary-cross-entropy"](DIMENSION, CLASSES).collapsed_value(odd)
    assert entropy == pytest.approx(-(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3))


def test_a_total_adds_its_parts():
    parts = [
        {"name": "triplet-margin", "options": {"margin": 0.4}, "weight": 2},
        {"name": "prototypical"},
    ]
    loss = LOSSES["total"](DIMENSION, CLASSES, parts=parts)
    assert loss.collapsed_value(batch()) == pytest.approx(0.8 + math.log(4))
    assert loss.collapsed_value(batch()) == pytest.approx(computed(loss, batch()), rel=1e-5)
    assert set(loss.state_dict()) == set()


def test_none_where_it_cannot_be_told():
    without = Batch(torch.zeros(8, 1, 1, 1), LABELS, GROUPS)
    for name in ("contrastive", "binary-cross-entropy"):
        assert LOSSES[name](DIMENSION, CLASSES).collapsed_value(without) is None
    parts = [{"name": "triplet-margin"}, {"name": "contrastive"}]
    assert LOSSES["total"](DIMENSION, CLASSES, parts=parts).collapsed_value(without) is None
