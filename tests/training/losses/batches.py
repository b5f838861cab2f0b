"""What a loss is told of a batch, without any images."""

import torch

from training.data.batch import Batch


def batch_of(labels, pairs=None, same=None, *, groups=None, progress=0.5) -> Batch:
    labels = torch.tensor(labels)
    return Batch(
        images=torch.zeros(len(labels), 1, 1, 1),
        labels=labels,
        groups=torch.zeros_like(labels) if groups is None else torch.tensor(groups),
        pairs=None if pairs is None else torch.tensor(pairs),
        same=None if same is None else torch.tensor(same, dtype=torch.float32),
        progress=progress,
    )
