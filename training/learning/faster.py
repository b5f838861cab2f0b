"""Whether this CPU trains a network faster in bfloat16 than in float32."""

import math
from collections.abc import Callable
from time import perf_counter

import torch

from model_store.network import SiameseNetwork
from training.randomness import Stream, seeded
from training.recipe import Recipe

_IMAGES = (4, 32)
"""Few for large networks, which are slow; more where a pass through these is too short to tell."""

_TURNS = 2
_FACTOR = 1.2
"""How many times as fast bf16 must be: less is within what two measurements differ by."""

_SECONDS = 0.02
"""A pass that takes less is timed too unsurely; a network so small gains next to nothing."""


def settled_precision(recipe: Recipe, device: torch.device, say: Callable[[str], None]) -> Recipe:
    """The recipe with a `precision` that says what is computed in, where it says `auto`.

    On a CPU the network goes forward and back through a few images of noise in both. CPUs differ
    by more than their instructions tell (products of matrices in bf16 are 4 times as fast on some
    with AVX512-BF16, and slower on others), and so do networks: depthwise convolutions in bf16
    are slow where all others are fast.

    Args:
        recipe: Any.
        device: Where it is to be trained.
        say: Told where the choice was measured and is bf16.
    """
    if recipe.precision != "auto" or recipe.max_steps == 0:
        return recipe
    if device.type == "cuda":
        return recipe.model_copy(update={"precision": "bf16"})
    plain, short = _seconds(recipe, device)
    if plain <= max(_SECONDS, _FACTOR * short):
        return recipe.model_copy(update={"precision": "float32"})
    say(f"computing in bf16, in which this CPU trains {plain / short:.1f} times as fast")
    return recipe.model_copy(update={"precision": "bf16"})


def _seconds(recipe: Recipe, device: torch.device) -> tuple[float, float]:
    """What a pass takes at best, in float32 and in bf16."""
    with seeded(recipe.seed, Stream.INITIALISATION):
        network = SiameseNetwork(recipe.network, recipe.preprocessing)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    with seeded(recipe.seed, Stream.FORWARD):
        for count in _IMAGES:
            images = torch.randint(0, 256, (count, *recipe.preprocessing.shape), dtype=torch.uint8)
            plain, short = math.inf, math.inf
            for turn in range(_TURNS + 1):
                one, two = _pass(network, images, half=False), _pass(network, images, half=True)
                if turn:  # The first makes what later ones find.
                    plain, short = min(plain, one), min(short, two)
            if plain > _SECONDS:
                break
    return plain, short


def _pass(network: SiameseNetwork, images: torch.Tensor, *, half: bool) -> float:
    parameters = [each for each in network.parameters() if each.requires_grad]
    began = perf_counter()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        embeddings = network.embed(images)
    torch.autograd.grad(embeddings.square().sum(), parameters, allow_unused=True)
    return perf_counter() - began
