import pytest
import torch

from tests import tiny
from tests.training.losses.batches import batch_of
from training.errors import RecipeError
from training.losses import LOSSES
from training.losses.whitened_contrastive import WhitenedContrastive, whitened_products

DIMENSION = 6


def rows(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, DIMENSION, generator=torch.Generator().manual_seed(seed))


def whitening(known: torch.Tensor, labels: list[int], shrinkage: float) -> torch.Tensor:
    """S^(-1/2), entry by entry of S."""
    spread = torch.zeros(DIMENSION, DIMENSION, dtype=torch.float64)
    for label in set(labels):
        own = torch.stack([row for row, of in zip(known, labels, strict=True) if of == label])
        for row in own.double():
            away = row - own.double().mean(0)
            spread += torch.outer(away, away)
    spread /= len(labels) - len(set(labels))
    identity = torch.eye(DIMENSION, dtype=torch.float64)
    level = spread.trace() / DIMENSION
    values, vectors = torch.linalg.eigh((1 - shrinkage) * spread + shrinkage * level * identity)
    return vectors @ torch.diag(values**-0.5) @ vectors.T


@pytest.mark.parametrize("count", [4, 12])
def test_products_are_those_of_whitened_rows(count):
    """With fewer known images than dimensions, and with more."""
    known, others = rows(count), rows(5, seed=1)
    labels = [0, 0, 1, 1, 2, 2, 0, 1, 2, 2, 2, 2][:count]
    found = whitened_products(known, torch.tensor(labels), others, shrinkage=0.3)
    white = (others - known.mean(0)).double() @ whitening(known, labels, 0.3)
    assert found.numpy() == pytest.approx((white @ white.T).numpy(), rel=1e-3, abs=1e-4)


def test_the_loss_equals_the_loop_over_pairs_of_the_last_classes():
    # Classes 7, 2 and 9 come first and are fitted to; 1 and 4 are judged.
    labels = [7, 7, 7, 2, 2, 2, 9, 9, 9, 1, 1, 1, 4, 4, 4]
    embeddings = rows(15)
    loss = LOSSES["whitened-contrastive"](DIMENSION, 5, margin=1.2, shrinkage=0.4, known=0.6)
    matrix = whitening(embeddings[:9], labels[:9], 0.4)
    white = (embeddings[9:] - embeddings[:9].mean(0)).double() @ matrix
    genuine, impostor = [], []
    for i in range(6):
        for j in range(i):
            a, b = white[i] / white[i].norm(), white[j] / white[j].norm()
            distance = float((a - b).norm())
            if labels[9 + i] == labels[9 + j]:
                genuine.append(distance**2)
            else:
                impostor.append(max(0.0, 1.2 - distance) ** 2)
    wanted = sum(genuine) / len(genuine) / 2 + sum(impostor) / len(impostor) / 2
    found = loss(tiny.network("euclidean"), embeddings, batch_of(labels))
    assert found.item() == pytest.approx(wanted, rel=1e-3)


def test_gradients_are_finite_where_nothing_varies():
    embeddings = torch.ones(8, DIMENSION, requires_grad=True)
    loss = WhitenedContrastive(DIMENSION, 4, known=0.5)
    value = loss(tiny.network("euclidean"), embeddings, batch_of([0, 0, 1, 1, 2, 2, 3, 3]))
    value.backward()
    assert embeddings.grad is not None
    assert bool(embeddings.grad.isfinite().all())
    assert loss.collapsed_value(batch_of([0, 0, 1, 1, 2, 2, 3, 3])) is None


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1], [0, 0, 1, 1, 2, 3], [0, 1, 2, 2, 3, 3]],
    ids=["single images", "one class to judge by", "nothing genuine there", "nothing to fit to"],
)
def test_a_batch_that_cannot_be_parted_is_refused(labels):
    loss = WhitenedContrastive(DIMENSION, 6, known=0.5)
    with pytest.raises(RecipeError, match="classes-by-images"):
        loss(tiny.network("euclidean"), rows(len(labels)), batch_of(labels))


@pytest.mark.parametrize("options", [{"margin": 0.0}, {"shrinkage": 1.0}, {"known": 0.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="between 0 and 1"):
        WhitenedContrastive(DIMENSION, 4, **options)


def test_embeddings_of_half_precision_have_a_finite_loss():
    loss = WhitenedContrastive(DIMENSION, 4, known=0.5)
    batch = batch_of([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert torch.isfinite(loss(tiny.network("euclidean"), rows(12).bfloat16(), batch))
