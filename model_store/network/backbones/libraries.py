"""Backbones from torchvision and timm, without their classifiers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn

from model_store.errors import StoreError, UnknownComponent

# The attribute that holds the classifier, by torchvision's model families.
_HEADS = ("fc", "classifier", "head", "heads")
# Families whose training output is a tuple unless the second classifier is left out.
_WITH_AUXILIARY = ("googlenet", "inception_v3")

Size = tuple[int, int]
"""Rows and columns of an image."""


class Torchvision(nn.Module):
    """Any classification network of torchvision; gives the vector its last layer would take.

    Args:
        in_channels: Channels of the input image; where it is not 3, the first convolution is a
            new one of that many.
        size: Of the input image, for networks that are built for one; theirs if not given.
        architecture: A name as `torchvision.models.get_model` takes it.

    Raises:
        UnknownComponent: torchvision has no such classification network.
        ValueError: The network cannot be built for this size.
    """

    sized: ClassVar[bool] = True

    def __init__(
        self, in_channels: int = 3, *, size: Size | None = None, architecture: str
    ) -> None:
        super().__init__()
        # Importing torchvision takes a second that only those who use it should pay.
        import torchvision
        from torchvision import models

        known = models.list_models(module=models)
        if architecture not in known:
            raise UnknownComponent(
                f"torchvision {torchvision.__version__} has no classification network called "
                f"'{architecture}'; it has: {', '.join(known)}"
            )
        options: dict[str, object] = {}
        if architecture in _WITH_AUXILIARY:
            options = {"aux_logits": False, "init_weights": True}
        if size is not None:
            options |= _of_size(architecture, size)
        with _refusing(architecture, size):
            self.network: nn.Module = models.get_model(architecture, weights=None, **options)
        _remove_classifier(self.network)
        if in_channels != 3:
            _replace_first_convolution(self.network, in_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, features)."""
        features: torch.Tensor = self.network(images)
        return features


class Timm(nn.Module):
    """Any network of timm (the extra `timm`); gives its pooled features.

    Args:
        in_channels: Channels of the input image.
        size: Of the input image, for networks that are built for one; theirs if not given.
        architecture: A name as `timm.create_model` takes it.

    Raises:
        StoreError: timm is not installed.
        UnknownComponent: timm has no such network.
        ValueError: The network cannot be built for this size.
    """

    sized: ClassVar[bool] = True

    def __init__(
        self, in_channels: int = 3, *, size: Size | None = None, architecture: str
    ) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise StoreError(
                f"the backbone '{architecture}' needs timm; install it with "
                "pip install --editable '.[timm]'"
            ) from error
        if architecture not in timm.list_models():
            raise UnknownComponent(
                f"timm {timm.__version__} has no network called '{architecture}'; "
                "timm.list_models() lists those it has"
            )
        known = timm.get_pretrained_cfg(architecture)
        options: dict[str, Any] = {}
        own = known.input_size[-2:] if known and known.fixed_input_size else size
        if size is not None and size != own:
            options["img_size"] = size
        with _refusing(architecture, size):
            self.network: nn.Module = timm.create_model(
                architecture, pretrained=False, num_classes=0, in_chans=in_channels, **options
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, features)."""
        features: torch.Tensor = self.network(images)
        return features


def _of_size(architecture: str, size: Size) -> dict[str, object]:
    """What tells torchvision the size, of the families that are built for one."""
    if architecture.startswith("maxvit_"):
        return {"input_size": size}
    if not architecture.startswith("vit_"):
        return {}
    if size[0] != size[1]:
        raise ValueError(f"{architecture} takes square images: make height and width equal")
    return {"image_size": size[0]}


@contextmanager
def _refusing(architecture: str, size: Size | None) -> Iterator[None]:
    """Both libraries refuse sizes that are no whole number of patches by an assertion."""
    try:
        yield
    except AssertionError as error:
        rows, columns = size or (0, 0)
        raise ValueError(
            f"{architecture} cannot be built for images of {rows}x{columns} ({error}); make "
            "height and width multiples of its patches' sides"
        ) from error


def _remove_classifier(network: nn.Module) -> None:
    """Replaces the last layer with weights, and the dropout before it, by nothing.

    Where that layer is a convolution (SqueezeNet), the average that follows it stays.
    """
    for name in _HEADS:
        head = getattr(network, name, None)
        if head is None:
            continue
        kept = list(head.children()) if isinstance(head, nn.Sequential) else []
        if any(isinstance(layer, nn.Conv2d) for layer in kept):
            setattr(network, name, nn.AdaptiveAvgPool2d(1))
            return
        if not any(isinstance(layer, nn.Linear) for layer in kept):
            kept = []
        while kept and isinstance(kept[-1], (nn.Linear, nn.Dropout)):
            last = kept.pop()
            if isinstance(last, nn.Linear):
                break
        setattr(network, name, nn.Sequential(*kept) if kept else nn.Identity())
        return
    raise UnknownComponent(
        f"{type(network).__name__} has no classifier where torchvision's other networks have "
        "theirs; choose another"
    )


def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent, _, leaf = name.rpartition(".")
            fresh = nn.Conv2d(
                in_channels,
                module.out_channels,
                (module.kernel_size[0], module.kernel_size[1]),
                (module.stride[0], module.stride[1]),
                module.padding
                if isinstance(module.padding, str)
                else (module.padding[0], module.padding[1]),
                bias=module.bias is not None,
            )
            setattr(network.get_submodule(parent), leaf, fresh)
            return
