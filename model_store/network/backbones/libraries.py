"""Backbones from torchvision and timm, without their classifiers."""

import torch
from torch import nn

from model_store.errors import StoreError, UnknownComponent

# The attribute that holds the classifier, by torchvision's model families.
_HEADS = ("fc", "classifier", "head", "heads")
# Families whose training output is a tuple unless the second classifier is left out.
_WITH_AUXILIARY = ("googlenet", "inception_v3")


class Torchvision(nn.Module):
    """Any classification network of torchvision; gives the vector its last layer would take.

    Args:
        in_channels: Channels of the input image; where it is not 3, the first convolution is a
            new one of that many.
        architecture: A name as `torchvision.models.get_model` takes it.

    Raises:
        UnknownComponent: torchvision has no such classification network.
    """

    def __init__(self, in_channels: int = 3, *, architecture: str) -> None:
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
        options = (
            {"aux_logits": False, "init_weights": True} if (architecture in _WITH_AUXILIARY) else {}
        )
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
        architecture: A name as `timm.create_model` takes it.

    Raises:
        StoreError: timm is not installed.
        UnknownComponent: timm has no such network.
    """

    def __init__(self, in_channels: int = 3, *, architecture: str) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise StoreError(
                f"the backbone '{architecture}' needs timm; install it with pip install '.[timm]'"
            ) from error
        if architecture not in timm.list_models():
            raise UnknownComponent(
                f"timm {timm.__version__} has no network called '{architecture}'; "
                "timm.list_models() lists those it has"
            )
        self.network: nn.Module = timm.create_model(
            architecture, pretrained=False, num_classes=0, in_chans=in_channels
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, features)."""
        features: torch.Tensor = self.network(images)
        return features


def _remove_classifier(network: nn.Module) -> None:
    """Replaces the last linear layer, and the dropout before it, by nothing."""
    for name in _HEADS:
        head = getattr(network, name, None)
        if head is None:
            continue
        kept = list(head.children()) if isinstance(head, nn.Sequential) else []
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
