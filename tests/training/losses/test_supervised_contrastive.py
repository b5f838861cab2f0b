import math

import pytest
import torch

from tests import tiny
from tests.training.losses.batches import batch_of
from training.errors import RecipeError
from training.losses import LOSSES

LABELS = [0, 0, 1, 1, 1, 2, 3, 3]
GROUPS = [0, 0, 0, 0, 0, 0, 1, 1]
BATCH = batch_of(LABELS, groups=GROUPS)


def slowly(vectors, *, scale: float, within_groups: bool, one_positive: bool) -> float:
    """The formula, term by term."""
    unit = [v / v.norm() for v in vectors]
    anchors = []
    for i, anchor in enumerate(unit):
        positives = [p for p in range(len(unit)) if p != i and LABELS[p] == LABELS[i]]
        terms = []
        for p in positives:
            below = 0.0
            for a in range(len(unit)):
                apart = within_groups and GROUPS[a] != GROUPS[i]
                if a == i or apart or (one_positive and a in positives and a != p):
                    continue
                below += math.exp(scale * float(anchor @ unit[a]))
            terms.append(-math.log(math.exp(scale * float(anchor @ unit[p])) / below))
        if terms:
            anchors.append(sum(terms) / len(terms))
    return sum(anchors) / len(anchors)


@pytest.mark.parametrize("within_groups", [False, True])
@pytest.mark.parametrize("one_positive", [False, True])
def test_it_is_the_formula(within_groups: bool, one_positive: bool):
    vectors = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    options = {"scale": 3.0, "within_groups": within_groups, "one_positive": one_positive}
    loss = LOSSES["supervised-contrastive"](5, 4, **options)
    assert loss(tiny.network(), vectors, BATCH).item() == pytest.approx(slowly(vectors, **options))


def test_a_batch_without_pairs_is_refused():
    loss = LOSSES["supervised-contrastive"](5, 4)
    with pytest.raises(RecipeError, match="classes-by-images"):
        loss(tiny.network(), torch.randn(3, 5), batch_of([0, 1, 2]))


def test_a_total_adds_its_parts_up():
    parts = [
        {"name": "supervised-contrastive", "weight": 2.5, "options": {"scale": 4.0}},
        {"name": "prototypical"},
    ]
    vectors = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
    network = tiny.network()
    total = LOSSES["total"](5, 4, parts=parts)(network, vectors, BATCH)
    first = LOSSES["supervised-contrastive"](5, 4, scale=4.0)(network, vectors, BATCH)
    second = LOSSES["prototypical"](5, 4)(network, vectors, BATCH)
    assert total.item() == pytest.approx((2.5 * first + second).item(), rel=1e-6)


def test_a_total_trains_the_parameters_of_its_parts():
    parts = [{"name": "cosine-softmax"}, {"name": "cosine-softmax", "options": {"margin": 0.3}}]
    total = LOSSES["total"](5, 4, parts=parts)
    assert sum(p.numel() for p in total.parameters()) == 2 * 4 * 5


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(RecipeError, match="no loss is called 'magic'"):
        LOSSES["total"](5, 4, parts=[{"name": "magic"}])
