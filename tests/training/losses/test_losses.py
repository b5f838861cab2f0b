"""Every loss against a slow, explicit loop in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny
from tests.training.losses.batches import batch_of
from training.components import Component, build
from training.errors import RecipeError
from training.losses import LOSSES
from training.losses.binary_cross_entropy import BinaryCrossEntropy
from training.losses.cosine_softmax import CosineSoftmax
from training.losses.prototypical import Prototypical

DIMENSION = 8


@pytest.fixture(scope="module")
def euclidean():
    return tiny.network("euclidean")


@pytest.fixture(scope="module")
def sigmoid():
    return tiny.network("absolute-difference-sigmoid").double()


def embeddings_of(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, DIMENSION, generator=generator, dtype=torch.float64)


class TestBinaryCrossEntropy:
    def test_equals_the_loop(self, sigmoid):
        embeddings = embeddings_of(4)
        pairs, same = [(0, 1), (2, 3), (0, 3), (1, 1)], [1, 0, 0, 1]
        loss = BinaryCrossEntropy(DIMENSION, 3)(
            sigmoid, embeddings, batch_of([0, 0, 1, 2], pairs, same)
        )
        total = 0.0
        for (left, right), alike in zip(pairs, same, strict=True):
            logit = sigmoid.comparator.logit(embeddings[left][None], embeddings[right][None]).item()
            p = 1 / (1 + math.exp(-logit))
            total -= math.log(p) if alike else math.log(1 - p)
        assert loss.item() == pytest.approx(total / 4, rel=1e-12)

    def test_needs_pairs(self, sigmoid):
        with pytest.raises(RecipeError, match="balanced-pairs"):
            BinaryCrossEntropy(DIMENSION, 2)(sigmoid, embeddings_of(2), batch_of([0, 1]))

    def test_needs_a_sigmoid(self, euclidean):
        batch = batch_of([0, 1], [(0, 1)], [0])
        with pytest.raises(RecipeError, match="comparator"):
            BinaryCrossEntropy(DIMENSION, 2)(euclidean, embeddings_of(2), batch)


class TestCosineSoftmax:
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("progress", [0.0, 0.2, 1.0])
    def test_equals_the_loop(self, euclidean, smoothing, progress):
        scale, margin, warm_up, classes = 12.0, 0.2, 0.5, 5
        loss = CosineSoftmax(
            DIMENSION,
            classes,
            scale=scale,
            margin=margin,
            margin_warm_up=warm_up,
            label_smoothing=smoothing,
        ).double()
        embeddings, labels = embeddings_of(3), [4, 0, 4]
        risen = margin * min(1, progress / warm_up)
        total = 0.0
        for embedding, label in zip(embeddings, labels, strict=True):
            logits = []
            for number, prototype in enumerate(loss.prototypes.detach()):
                cosine = (embedding @ prototype / (embedding.norm() * prototype.norm())).item()
                logits.append(scale * (cosine - (risen if number == label else 0)))
            log_sum = math.log(sum(math.exp(logit) for logit in logits))
            for number, logit in enumerate(logits):
                wanted = smoothing / classes + (1 - smoothing) * (number == label)
                total -= wanted * (logit - log_sum)
        found = loss(euclidean, embeddings, batch_of(labels, progress=progress))
        assert found.item() == pytest.approx(total / 3, rel=1e-10)

    def test_prototypes_are_trained_along(self, euclidean):
        loss = CosineSoftmax(DIMENSION, 4).double()
        loss(euclidean, embeddings_of(2), batch_of([1, 3])).backward()
        assert loss.prototypes.grad is not None
        assert loss.prototypes.grad.abs().sum() > 0

    @given(factor=st.floats(0.1, 10))
    @settings(max_examples=20, deadline=None)
    def test_the_length_of_an_embedding_does_not_matter(self, factor):
        network, loss = tiny.network("euclidean"), CosineSoftmax(DIMENSION, 4).double()
        embeddings, batch = embeddings_of(3), batch_of([0, 1, 2])
        assert loss(network, embeddings * factor, batch).item() == pytest.approx(
            loss(network, embeddings, batch).item(), rel=1e-9
        )


class TestPrototypical:
    @pytest.mark.parametrize("shots", [1, 2])
    def test_equals_the_loop(self, euclidean, shots):
        labels = [7, 2, 7, 2, 5, 7, 2]  # class 5 has one image: a prototype that nobody asks for
        embeddings, scale = embeddings_of(len(labels)), 0.3
        prototypes, queries = {}, []
        for label in set(labels):
            rows = [row for row, found in enumerate(labels) if found == label]
            prototypes[label] = embeddings[rows[:shots]].mean(0)
            queries += [(row, label) for row in rows[shots:]]
        total = 0.0
        for row, label in queries:
            logits = {
                other: -scale * ((embeddings[row] - prototype) ** 2).sum().item()
                for other, prototype in prototypes.items()
            }
            total -= logits[label] - math.log(sum(math.exp(value) for value in logits.values()))
        loss = Prototypical(DIMENSION, 9, shots=shots, scale=scale)
        found = loss(euclidean, embeddings, batch_of(labels))
        assert found.item() == pytest.approx(total / len(queries), rel=1e-10)

    def test_needs_queries(self, euclidean):
        with pytest.raises(RecipeError, match="classes-by-images"):
            Prototypical(DIMENSION, 3)(euclidean, embeddings_of(3), batch_of([0, 1, 2]))


class TestTotal:
    def test_is_the_weighted_sum(self, euclidean):
        embeddings, batch = embeddings_of(4), batch_of([0, 0, 1, 1])
        options = {"parts": [{"name": "prototypical", "weight": 0.5}, {"name": "prototypical"}]}
        total = build(LOSSES, "loss", Component(name="total", options=options), DIMENSION, 2)
        one = Prototypical(DIMENSION, 2)(euclidean, embeddings, batch).item()
        assert total(euclidean, embeddings, batch).item() == pytest.approx(1.5 * one, rel=1e-6)

    @pytest.mark.parametrize("parts", [[], [{"name": "x"}], [{"names": "prototypical"}]])
    def test_mistakes_are_explained(self, parts):
        component = Component(name="total", options={"parts": parts})
        with pytest.raises(RecipeError):
            build(LOSSES, "loss", component, DIMENSION, 2)


class TestRegistry:
    def test_every_loss_is_built_by_name(self):
        for name in LOSSES:
            options = {"parts": [{"name": "prototypical"}]} if name == "total" else {}
            component = Component(name=name, options=options)
            loss = build(LOSSES, "loss", component, DIMENSION, 3)
            assert (loss.dimension, loss.classes) == (DIMENSION, 3)

    @pytest.mark.parametrize(
        ("component", "message"),
        [
            (Component(name="cosine"), "cosine-softmax"),
            (Component(name="cosine-softmax", options={"scael": 2}), "scael.*scale"),
            (Component(name="cosine-softmax", options={"scale": -1}), "above 0"),
            (Component(name="contrastive", options={"margin": 0}), "margin must be above 0"),
            (Component(name="prototypical", options={"shots": 0}), "shots must be 1"),
            (Component(name="prototypical", options={"scale": 0}), "scale above 0"),
            (Component(name="supervised-contrastive", options={"scale": 0}), "above 0"),
            (Component(name="triplet-margin", options={"margin": 0}), "margin must be above 0"),
            (Component(name="triplet-softmax", options={"margin": 0}), "margin must be above 0"),
        ],
    )
    def test_mistakes_are_explained(self, component, message):
        with pytest.raises(RecipeError, match=message):
            build(LOSSES, "loss", component, DIMENSION, 3)


def test_what_a_part_of_a_sum_learns_is_learnt_with_the_network():
    parts = [{"name": "supervised-contrastive"}, {"name": "cosine-softmax"}]
    loss = LOSSES["total"](DIMENSION, 5, parts=parts)
    assert [parameter.shape for parameter in loss.parameters()] == [(5, DIMENSION)]
