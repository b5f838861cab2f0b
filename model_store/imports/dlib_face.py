"""dlib's weights for faces, from the package `face_recognition_models`.

Its network of 128 numbers, its convolutional detector and its predictor of five points, all made by
Davis King and dedicated to the public (CC0 1.0). The package's fourth file, the predictor of 68
points, is not used: the pictures it was trained on are not for commercial use.
"""

import importlib.util

import torch

from model_store.errors import StoreError
from model_store.imports.dlib_format import (
    NotDlibFormat,
    Shape,
    read_network,
    read_shape_predictor,
)
from model_store.imports.package import package_file
from model_store.network.backbones.dlib_face import DlibFace
from model_store.network.backbones.dlib_face.landmarks import linear_places

PACKAGE = "face_recognition_models"
_INSTALL = "pip install --editable '.[faces]'"

_DETECTOR = "mmod_human_face_detector.dat"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_DESCRIPTOR = "dlib_face_recognition_resnet_model_v1.dat"
_SHA256 = {
    _DETECTOR: "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    _LANDMARKS: "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    _DESCRIPTOR: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
}


def face_package_installed() -> bool:
    """Whether the package that has the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def face_tensors() -> dict[str, torch.Tensor]:
    """The package's weights, by the names of our backbone.

    Raises:
        StoreError: The package is not installed, or a file of it is another than expected.
    """
    files = {
        name: package_file(PACKAGE, f"models/{name}", digest, install=_INSTALL).read_bytes()
        for name, digest in _SHA256.items()
    }
    with torch.device("meta"):
        wanted = DlibFace()
    try:
        return {
            **_network(wanted.detector, files[_DETECTOR], "detector."),
            **_network(wanted.descriptor, files[_DESCRIPTOR], "descriptor."),
            **_landmarks(read_shape_predictor(files[_LANDMARKS]), "landmarks."),
        }
    except (NotDlibFormat, ValueError) as error:
        raise StoreError(f"the weights of {PACKAGE} cannot be read: {error}") from error


def _network(wanted: torch.nn.Module, data: bytes, prefix: str) -> dict[str, torch.Tensor]:
    """A network's tensors by our names; both are in the order of the layers, so they pair off."""
    convolutions, linear = read_network(data)
    found = [torch.from_numpy(values) for layer in convolutions for values in vars(layer).values()]
    if linear is not None:
        found.append(torch.from_numpy(linear))
    state = wanted.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for (name, like), tensor in zip(state.items(), found, strict=True):
        # dlib's linear layer is (in, out).
        laid_out = tensor.reshape(like.shape[::-1]).T if like.dim() == 2 else tensor
        tensors[prefix + name] = laid_out.reshape(like.shape).contiguous()
    return tensors


def _landmarks(shape: Shape, prefix: str) -> dict[str, torch.Tensor]:
    """The predictor's tensors, laid out as `landmarks.Cascade` has them."""
    initial = torch.from_numpy(shape.initial)
    tensors = {"initial": initial.T.flatten()}
    parts = (shape.anchors, shape.deltas, shape.pixels, shape.thresholds, shape.leaves)
    for number, arrays in enumerate(zip(*parts, strict=True)):
        anchors, deltas, pixels, thresholds, leaves = map(torch.from_numpy, arrays)
        tensors |= {
            f"cascades.{number}.places": linear_places(initial, anchors, deltas),
            f"cascades.{number}.pairs": pixels.flatten(0, 1).T,
            f"cascades.{number}.thresholds": thresholds,
            f"cascades.{number}.leaves": leaves.transpose(-1, -2).flatten(0, 1).flatten(1),
        }
    return {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}
