import pytest
import torch

from tests import tiny
from tests.training.losses.batches import batch_of
from training.errors import RecipeError
from training.losses import LOSSES

EMBEDDINGS = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.6, 0.8], [0.0, 0.5]])
LABELS = [0, 0, 0, 0]
PAIRS = [[0, 1], [0, 2], [0, 3], [1, 2]]
SAME = [1.0, 1.0, 0.0, 0.0]


def test_the_formula_by_hand():
    loss = LOSSES["contrastive"](2, 2, margin=2.0)
    # distances 5, 1 (genuine) and 0.5, 4 (impostor): 25, 1, (2 − 0.5)², 0
    by_hand = (25 + 1 + 1.5**2 + 0) / 4
    value = loss(tiny.network("euclidean"), EMBEDDINGS, batch_of(LABELS, PAIRS, SAME))
    assert value.item() == pytest.approx(by_hand, rel=1e-6)


def test_a_similarity_counts_as_its_distance_from_one():
    loss = LOSSES["contrastive"](2, 2, margin=0.5)
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    # cosines 0, 1 (genuine) and √½, 0 (impostor)
    by_hand = (1 + 0 + (0.5 - (1 - 0.5**0.5)) ** 2 + 0) / 4
    value = loss(tiny.network("cosine"), vectors, batch_of(LABELS, PAIRS, SAME))
    assert value.item() == pytest.approx(by_hand, rel=1e-5)


def test_it_says_what_it_needs():
    loss = LOSSES["contrastive"](2, 2)
    with pytest.raises(RecipeError, match="balanced-pairs"):
        loss(tiny.network("euclidean"), EMBEDDINGS, batch_of(LABELS))
    with pytest.raises(RecipeError, match="measures a distance"):
        loss(tiny.network("absolute-difference-sigmoid"), EMBEDDINGS, batch_of(LABELS, PAIRS, SAME))
