"""Images of noise, and what networks take them as."""

import torch

from model_store.preprocessing import Preprocessing


def grey(side: int = 16, fill: int = 255) -> Preprocessing:
    return Preprocessing(height=side, width=side, mode="L", fill=fill, mean=(0.0,), std=(1.0,))


def colour(height: int = 16, width: int = 16) -> Preprocessing:
    return Preprocessing(
        height=height, width=width, mode="RGB", fill=200, mean=(0.0,) * 3, std=(1.0,) * 3
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int, spec: Preprocessing, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, *spec.shape), generator=generator(seed)).to(torch.uint8)
