"""Turning and scaling in the plane, as a product of complex numbers: (…, 2), real, imaginary."""

import torch


def linear_part(origin: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Turn and scale of the similarity that brings points nearest to others, by least squares.

    With o and p around their means the factor is Σ ō·p / Σ |o|². It is what equations 34 to 43 of
    Umeyama 1991 (IEEE Transactions on Pattern Analysis and Machine Intelligence 13) come to in the
    plane, where nothing is mirrored. It is linear in the points.

    Args:
        origin: (points, 2), not all in one place.
        points: (N, points, 2).

    Returns:
        (N, 2), the factor.
    """
    o = origin - origin.mean(dim=0)
    p = points - points.mean(dim=1, keepdim=True)
    conjugate = o * torch.tensor([1.0, -1.0]).to(o)
    return times(conjugate, p).sum(dim=1) / o.square().sum()


def times(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The product: two of (…, 2) → (…, 2)."""
    (a, b), (x, y) = one.unbind(dim=-1), other.unbind(dim=-1)
    return torch.stack([a * x - b * y, b * x + a * y], dim=-1)
