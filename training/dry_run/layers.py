"""The shapes that an image takes on its way through a network."""

from dataclasses import dataclass

import torch
from torch import nn

from model_store.network import SiameseNetwork

_MOST = 60


@dataclass(frozen=True)
class Layer:
    """A stage of the way.

    Attributes:
        name: Where it is in the network.
        kind: The class of the module; empty for the input and the embedding.
        shape: Of its output for one image, or for one pair in the comparator.
        parameters: Values it learns.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0


@torch.no_grad()
def layers(network: SiameseNetwork, images: torch.Tensor) -> tuple[Layer, ...]:
    """What happens to some images, branch by branch, and then in the comparator.

    Single layers of a backbone are listed if it has 60 at most, or else its parts.

    Args:
        network: Left as it was, but for its mode: it is in evaluation mode then.
        images: (N, height, width, channels), as `SiameseNetwork.embed` takes them.
    """
    network.eval()
    found: list[Layer] = []
    embedded = []
    for side in network.sides:
        branch = network.branch(side)
        title = "" if network.shares_weights else f"{side} "
        found.append(Layer(f"{title}input", "", _shape(images)))
        with _Listening(found, _parts(branch.backbone, f"{title}backbone")) as listening:
            listening.to(branch.pooling, f"{title}pooling")
            for name, module in branch.projection.named_children():
                listening.to(module, f"{title}projection.{name}")
            embedded.append(network.embed(images, side))
        found.append(Layer(f"{title}embedding", "", _shape(embedded[-1])))
    with _Listening(found, _parts(network.comparator, "comparator")):
        scores = network.comparator(embedded[0], embedded[-1])
    found.append(Layer("score", type(network.comparator).__name__, tuple(scores.shape[1:])))
    return tuple(found)


def _parts(module: nn.Module, title: str) -> dict[str, nn.Module]:
    leaves = {
        name: part for name, part in module.named_modules() if name and not any(part.children())
    }
    chosen = leaves if len(leaves) <= _MOST else dict(module.named_children())
    return {f"{title}.{name}": part for name, part in chosen.items()}


class _Listening:
    """Notes what modules give while it is entered, in the order in which they give it."""

    def __init__(self, found: list[Layer], modules: dict[str, nn.Module]) -> None:
        self._found = found
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        for name, module in modules.items():
            self.to(module, name)

    def to(self, module: nn.Module, name: str) -> None:
        """Listens to a further module."""

        def heard(module: nn.Module, _: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and not isinstance(module, nn.Identity):
                parameters = sum(parameter.numel() for parameter in module.parameters())
                kind = type(module).__name__
                self._found.append(Layer(name, kind, _shape(output), parameters))

        self._handles.append(module.register_forward_hook(heard))

    def __enter__(self) -> "_Listening":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def _shape(values: torch.Tensor) -> tuple[int, ...]:
    return tuple(values.shape[1:])
