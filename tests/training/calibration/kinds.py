"""Made-up images of one kind, as a network and their pixels tell them."""

import numpy as np
import torch

from model_store.typicality.pixels import COUNT
from tests.training.trees import embedded
from training.evaluation.embedding import EmbeddedFolder

DIMENSION = 24


def pixels(images: int, seed: int = 0, brightness: float = 0.5) -> np.ndarray:
    """What pixels look like, of images of one kind that are about so bright."""
    generator = np.random.default_rng(seed + 50)
    return (brightness + 0.05 * generator.normal(size=(images, COUNT))).astype(np.float32)


def folder(
    images: int, *, classes: int = 10, groups: int = 0, seed: int = 0, normalise: bool = True
) -> EmbeddedFolder:
    """Features near a plane of six directions, by class; with groups, each group elsewhere."""
    generator = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(size=(6, DIMENSION))
    names, rows = [], []
    for index in range(images):
        number = index % classes
        group = number % groups if groups else 0
        centre = np.random.default_rng(1000 + number).normal(size=6) + group
        noise = generator.normal(size=DIMENSION) * 0.1
        rows.append((centre + generator.normal(size=6) * 0.3) @ plane + noise)
        names.append(f"g{group}/c{number}" if groups else f"c{number}")
    features = torch.tensor(np.array(rows), dtype=torch.float32)
    made = embedded(features.tolist(), names)
    lengths = made.embeddings.norm(dim=1)
    embeddings = made.embeddings / lengths[:, None] if normalise else made.embeddings
    return EmbeddedFolder(embeddings, made.folder, (), lengths=lengths, pixels=pixels(images, seed))
