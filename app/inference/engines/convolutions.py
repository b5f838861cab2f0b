"""The convolutions of a converted network: where they are, and what passes through them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov

from app.inference.engines.base import UInt8Batch
from app.inference.engines.openvino_runtime import in_float32

Floats = npt.NDArray[np.float64]

_CONVOLUTIONS = ("Convolution", "GroupConvolution")


@dataclass(frozen=True)
class Filters:
    """A convolution of the model.

    Attributes:
        node: The convolution.
        weights: (filters, inputs of a filter, taps).
        added: What is added to each filter's result; None where nothing is.
        inputs: Index of the channel that each of a filter's inputs is, (filters, inputs).
    """

    node: ov.Node
    weights: Floats
    added: ov.Node | None
    inputs: npt.NDArray[np.int64]


def opened(model: ov.Model) -> tuple[ov.Model, list[Filters]]:
    """A copy to change, and its convolutions with constant weights, as compiling would have them.

    What normalises a convolution's result is multiplied into its weights.

    Args:
        model: As `conversion.convert` makes it.

    Returns:
        The convolutions are those of the copy, each after all that it depends on.

    Raises:
        RuntimeError: This version of OpenVINO cannot.
    """
    model = model.clone()
    try:
        # Only OpenVINO's own tools are promised this.
        from openvino._offline_transformations import apply_moc_transformations
    except ImportError as error:
        raise RuntimeError(f"this version of OpenVINO cannot prepare it: {error}") from error
    apply_moc_transformations(model, False)
    return model, list(_convolutions(model))


def results(model: ov.Model, wanted: Sequence[ov.Output], images: UInt8Batch) -> list[Floats]:
    """What parts of a model come to, computed in float32.

    Args:
        model: Of one input.
        wanted: The parts.
        images: (N, height, width, channels).

    Raises:
        RuntimeError: OpenVINO cannot compute the network.
    """
    observed = ov.Model(list(wanted), model.get_parameters())
    return [value.astype(np.float64) for value in in_float32(observed)([images])]


def _convolutions(model: ov.Model) -> Iterator[Filters]:
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in _CONVOLUTIONS or not _is_constant(node.input_value(1).get_node()):
            continue
        shape = tuple(node.input_value(1).get_shape())
        groups, shape = (shape[0], shape[1:]) if kind == "GroupConvolution" else (1, shape)
        filters, inputs = groups * shape[0], shape[1]
        weights = np.array(node.input_value(1).get_node().data, np.float64)
        first = np.repeat(np.arange(groups), shape[0]) * inputs
        yield Filters(
            node,
            weights.reshape(filters, inputs, -1),
            _added(node, filters),
            first[:, None] + np.arange(inputs),
        )


def _added(node: ov.Node, filters: int) -> ov.Node | None:
    """The constant that is added to a convolution's result, one number for each filter."""
    targets = list(node.output(0).get_target_inputs())
    if len(targets) != 1 or targets[0].get_node().get_type_name() != "Add":
        return None
    other = targets[0].get_node().input_value(1 - targets[0].get_index()).get_node()
    if not _is_constant(other) or list(other.get_output_shape(0)) != [1, filters, 1, 1]:
        return None
    return other


def _is_constant(node: ov.Node) -> bool:
    return bool(node.get_type_name() == "Constant")
