"""Decoding and normalising as guides to these servers have it, and the network for what that gives.

The JPEG is decoded whole, Pillow resizes, NumPy normalises, and the network takes float32.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from app.inference.engines import Embeddings
from app.inference.engines.conversion import to_openvino
from app.inference.engines.openvino_cpu import OpenVinoEngine
from app.inference.engines.openvino_runtime import runtime
from model_store.network import SiameseNetwork, Side
from model_store.network.branch import Branch
from model_store.preprocessing import Preprocessing

FloatImage = npt.NDArray[np.float32]
Forward = Callable[[npt.NDArray[Any]], Embeddings]


def decode(data: bytes, spec: Preprocessing) -> FloatImage:
    """What `model_store` does for networks that crop, in the fewest lines.

    Args:
        data: An image file.
        spec: With `resize` crop and mode RGB.

    Returns:
        float32 (3, height, width), normalised.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = max(spec.width / image.width, spec.height / image.height) / spec.crop_fraction
    size = (round(image.width * scale), round(image.height * scale))
    image = image.resize(size, Image.Resampling[spec.interpolation.upper()])
    left, top = (size[0] - spec.width) // 2, (size[1] - spec.height) // 2
    image = image.crop((left, top, left + spec.width, top + spec.height))
    values = np.asarray(image, np.float32) / 255
    values = (values - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


class _Branch(nn.Module):
    """The network from normalised pixels on."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        # A ModuleList forgets what kind of modules it holds.
        self.branch = cast("Branch", network.branches[0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.branch.features(images)


def convert(network: SiameseNetwork, path: Path) -> None:
    """Writes the network for `OpenVINO`, once for all servers.

    Args:
        network: In evaluation mode.
        path: The `.xml` to write; the weights go beside it.
    """
    # Not above, where it would be imported before the engines have turned its reports off.
    from openvino import save_model

    spec = network.preprocessing
    example = torch.zeros(2, spec.channels, spec.height, spec.width)
    model = to_openvino(_Branch(network).eval(), example)
    save_model(model, path, compress_to_fp16=False)


def openvino(path: Path, precision: str) -> Forward:
    """The network by OpenVINO, set up as Twinlens does, on one thread.

    Args:
        path: From `convert`.
        precision: `float32` or `bfloat16`.
    """
    models = {Side.LEFT: runtime().read_model(path)}
    engine = OpenVinoEngine(models, precision=precision, threads=1, reason="")
    # The engine takes any kind of number that its model does.
    return lambda batch: engine.features(cast("npt.NDArray[np.uint8]", batch), Side.LEFT)


def eager(network: SiameseNetwork) -> Forward:
    """The network by PyTorch as it is."""
    branch = _Branch(network).eval()

    def forward(batch: npt.NDArray[Any]) -> Embeddings:
        with torch.inference_mode():
            features: Embeddings = branch(torch.from_numpy(batch)).numpy()
        return features

    return forward
