"""From PyTorch's form of a branch to OpenVINO's, normalisation of the pixels included."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator

import openvino as ov
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from torch import nn

from app.inference.errors import InferenceError
from model_store.network import SiameseNetwork, Side

_EXAMPLE_IMAGES = 2
_MOST_IMAGES = 65_536


class ConversionFailed(InferenceError):
    """OpenVINO has no form of this network."""


class BranchFeatures(nn.Module):
    """One side's branch from uint8 (N, height, width, channels) on, normalisation included.

    Args:
        network: Whose branch.
        side: Which one.
    """

    def __init__(self, network: SiameseNetwork, side: Side) -> None:
        super().__init__()
        self._network = network
        self._side = side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The features, float32 (N, dimension)."""
        return self._network.features(images, self._side)


def convert(network: SiameseNetwork, side: Side) -> ov.Model:
    """One side's branch, from uint8 (N, height, width, channels) to float32 (N, dimension).

    Args:
        network: In evaluation mode, float32, on the CPU.
        side: Whose branch.

    Raises:
        ConversionFailed: A part of it cannot be converted, or there is no folder for temporary
            files; the message says why.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        # `torch.export` cannot be imported then, and the second attempt would blame something else.
        raise ConversionFailed(
            "OpenVINO cannot run this network, because PyTorch needs a folder for temporary files "
            "to convert it and none can be written to; name one in TMPDIR, or set "
            "TWINLENS_ENGINE=torch"
        ) from error
    shape = network.preprocessing.shape
    images = torch.zeros(_EXAMPLE_IMAGES, *shape, dtype=torch.uint8)
    try:
        return to_openvino(BranchFeatures(network, side).eval(), images)
    # Both libraries raise errors of many kinds for what they cannot do.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ConversionFailed(
            f"OpenVINO cannot run this network ({type(error).__name__}: {first[:200]}); set "
            "TWINLENS_ENGINE=torch, or TWINLENS_ENGINE=auto, which then takes PyTorch"
        ) from error


def to_openvino(module: nn.Module, example: torch.Tensor) -> ov.Model:
    """A module of one input, for batches of any size.

    Both libraries raise errors of many kinds for what they cannot do.

    Args:
        module: In evaluation mode, on the CPU.
        example: What it takes, as a batch of any size other than 1, which `torch.export` would take
            for a constant.
    """
    count = torch.export.Dim("count", min=1, max=_MOST_IMAGES)
    with _quiet():
        program = torch.export.export(module, (example,), dynamic_shapes=({0: count},))
        frontend = FrontEndManager().load_by_framework("pytorch")
        # The frontend does not keep these two alive, and reads them while it converts.
        decoder = TorchFXPythonDecoder.from_exported_program(program)
        loaded = frontend.load(decoder)
        model = frontend.convert(loaded)
        model.reshape([-1, *example.shape[1:]])
    return model


def _of_interest(record: logging.LogRecord) -> bool:
    # For each operation that another version of PyTorch has, whether the network has it or not.
    return "not found in decomp table" not in record.getMessage()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what OpenVINO logs of operations that another version of PyTorch has."""
    root = logging.getLogger()
    root.addFilter(_of_interest)
    try:
        yield
    finally:
        root.removeFilter(_of_interest)
