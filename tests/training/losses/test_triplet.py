import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.training.losses.batches import batch_of
from training.errors import RecipeError
from training.losses import LOSSES
from training.losses.mining import MINERS


def vectors(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, dtype=torch.float64, generator=generator)


def mined_slowly(name: str, points, labels, margin: float) -> set[tuple[int, int, int]]:
    rows = range(len(points))
    d = [[math.dist(a.tolist(), b.tolist()) for b in points] for a in points]
    found = set()
    for a in rows:
        positives = [p for p in rows if p != a and labels[p] == labels[a]]
        negatives = [n for n in rows if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if name == "all":
            found |= {(a, p, n) for p in positives for n in negatives}
        elif name == "batch-hard":
            farthest = max(positives, key=lambda p: d[a][p])
            found.add((a, farthest, min(negatives, key=lambda n: d[a][n])))
        else:
            for p in positives:
                farther = [n for n in negatives if d[a][n] > d[a][p]]
                n = (
                    min(farther, key=lambda n: d[a][n])
                    if farther
                    else max(negatives, key=lambda n: d[a][n])
                )
                if d[a][n] < d[a][p] + margin:
                    found.add((a, p, n))
    return found


labels_of_a_batch = st.lists(st.integers(0, 3), min_size=2, max_size=9)


@settings(deadline=None)
@given(labels_of_a_batch, st.integers(0, 1000), st.sampled_from(sorted(MINERS)))
def test_miners_find_what_a_loop_finds(labels, seed, name):
    points = vectors(len(labels), seed)
    triplets = MINERS[name](torch.cdist(points, points), torch.tensor(labels), 0.7)
    found = {tuple(row) for row in torch.stack(triplets, 1).tolist()}
    assert found == mined_slowly(name, points, labels, 0.7)


LABELS = [0, 0, 1, 1, 2]


@pytest.mark.parametrize("mining", sorted(MINERS))
@pytest.mark.parametrize("form", ["triplet-margin", "triplet-softmax"])
def test_both_forms_are_their_formulas(form: str, mining: str):
    points, margin = vectors(5, 7), 0.7
    loss = LOSSES[form](3, 3, mining=mining, margin=margin)
    values = []
    for a, p, n in mined_slowly(mining, points, LABELS, margin):
        near = math.dist(points[a].tolist(), points[p].tolist())
        far = math.dist(points[a].tolist(), points[n].tolist())
        if form == "triplet-margin":
            values.append(max(0.0, near - far + margin))
        else:
            share = math.exp(near) / (math.exp(near) + math.exp(far))
            values.append(share**2 + ((1 - share) - 1) ** 2)
    by_hand = sum(values) / len(values)
    assert loss(tiny.network(), points, batch_of(LABELS)).item() == pytest.approx(by_hand)


def test_at_unit_length_only_directions_count():
    points = vectors(5, 7)
    unit = points / points.norm(dim=1, keepdim=True)
    plain = LOSSES["triplet-margin"](3, 3, margin=0.7)
    scaled = LOSSES["triplet-margin"](3, 3, margin=0.7, normalise=True)
    wanted = plain(tiny.network(), unit, batch_of(LABELS)).item()
    assert scaled(tiny.network(), points, batch_of(LABELS)).item() == pytest.approx(wanted)
    assert plain(tiny.network(), points, batch_of(LABELS)).item() != pytest.approx(wanted)


def test_identical_embeddings_give_no_infinite_gradient():
    points = torch.ones(4, 3, requires_grad=True)
    loss = LOSSES["triplet-margin"](3, 2, mining="all")
    value = loss(tiny.network(), points, batch_of([0, 0, 1, 1]))
    value.backward()
    assert value.item() == pytest.approx(0.2)
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_classes_far_apart_have_nothing_left_to_teach():
    points = torch.tensor([[0.0, 0], [0.1, 0], [9, 0], [9.1, 0]], requires_grad=True)
    value = LOSSES["triplet-margin"](2, 2)(tiny.network(), points, batch_of([0, 0, 1, 1]))
    value.backward()
    assert value.item() == 0


def test_a_batch_without_triplets_is_refused():
    with pytest.raises(RecipeError, match="classes-by-images"):
        LOSSES["triplet-margin"](3, 3)(tiny.network(), vectors(3, 0), batch_of([0, 1, 2]))
