"""What share of a batch is in the right order, for losses that compare distances."""

import torch


def share_in_order(
    distances: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor
) -> torch.Tensor:
    """The share of all choices of a positive and a negative in which the positive is nearer.

    Args:
        distances: (A, N), from each of A anchors; or (1, P), of pairs.
        positive: Bool (A, N), which of them should be small.
        negative: Bool (A, N), which should be large.

    Returns:
        A float32 scalar without a gradient; where all distances are the same, about ½. 0 where
        there is nothing to choose.
    """
    # Sorted, each positive is nearer than the negatives after it: no list of triplets is made.
    order = distances.detach().argsort(dim=1, stable=True)
    near, far = positive.gather(1, order), negative.gather(1, order)
    after = far.sum(1, keepdim=True) - far.cumsum(1)
    choices = (positive.sum(1) * negative.sum(1)).sum()
    return (near * after).sum() / choices.clamp(min=1)
