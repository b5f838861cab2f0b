"""Embeddings in clouds, one for each class, and the scores of their pairs."""

import numpy as np

from tests.training import small
from tests.training.trees import embedded
from training.evaluation.pairs import score_folder


def clouds(classes, images=6, spread=0.7, seed=0, **options):
    generator = np.random.default_rng(seed)
    centres = np.repeat(generator.normal(size=(classes, 8)), images, axis=0)
    rows = centres + spread * generator.normal(size=centres.shape)
    names = np.repeat([f"c{n:03}" for n in range(classes)], images).tolist()
    return embedded(rows, names, **options)


def scored(classes, comparator="euclidean", **options):
    return score_folder(small.network(comparator), clouds(classes, **options))


def bent(generator, count):
    """Scores whose log-odds are level, then steep: −2 up to 0, then rising by 8 a unit."""
    values = generator.uniform(-1, 1, size=count)
    same = generator.random(count) < 1 / (1 + np.exp(2 - 8 * np.maximum(values, 0)))
    return values[same], values[~same], float(same.mean())
