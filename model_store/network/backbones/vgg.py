"""VGG16, configuration D, without its classifier (Simonyan, Zisserman 2015, arXiv 1409.1556)."""

import torch
from torch import nn

_CONFIGURATION_D = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)


class VGG16(nn.Module):
    """Five groups of 3x3 convolutions with ReLU, each ended by 2x2 max-pooling.

    The layers are numbered as torchvision numbers those of `vgg16().features`, so that weights
    trained there fit by name.

    Args:
        in_channels: Channels of the input image.
        batch_norm: Batch normalisation after each convolution (torchvision's `vgg16_bn`).
    """

    def __init__(self, in_channels: int = 3, *, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for group in _CONFIGURATION_D:
            for width in group:
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, 512, ⌊H/32⌋, ⌊W/32⌋)."""
        features: torch.Tensor = self.features(images)
        return features
