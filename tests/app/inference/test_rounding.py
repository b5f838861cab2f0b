"""Weights rounded to bfloat16 so that their errors cancel."""

import sys
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from openvino import opset13 as ops

from app.inference.engines import converted
from app.inference.engines.conversion import ConversionFailed
from app.inference.engines.converted import ConvertedModels
from app.inference.engines.openvino_runtime import in_float32
from app.inference.engines.rounding import nearest, rounded, settle
from model_store.network import Side
from tests.app.inference.conversions import saved
from tests.app.material import network

FLOATS = arrays(np.float32, (3, 4, 2), elements=st.floats(-4, 4, width=32, allow_subnormal=False))


@given(FLOATS)
def test_nearest_is_what_torch_rounds_to(values: np.ndarray) -> None:
    wanted = torch.from_numpy(values).bfloat16().double().numpy()
    np.testing.assert_array_equal(nearest(values), wanted)


def test_a_tie_goes_to_the_even_value() -> None:
    # Between 1 and 2 a step is 1/128.
    np.testing.assert_array_equal(nearest([1 + 1 / 256, 1 + 3 / 256]), [1, 1 + 4 / 256])


def error(exact, values, mean, variance, off) -> np.ndarray:
    """The expected square of what each filter is off by, in a slow obvious loop."""
    squares = []
    for row in range(len(exact)):
        shift, spread = off[row], 0.0
        for column in range(exact.shape[1]):
            wrong = sum(values[row, column] - exact[row, column])
            shift += wrong * mean[0, column]
            spread += wrong**2 * variance[0, column]
        squares.append(shift**2 + spread)
    return np.array(squares)


def test_one_step_makes_up_for_what_rounding_took() -> None:
    # Three taps of one input, rounded down by 0.4 and 0.45 of a step of 1/128, 0.4 of one of 1/256.
    exact = np.array([[[1 + 0.4 / 128, 1.5 + 0.45 / 128, 0.5 + 0.4 / 256]]])
    values = nearest(exact)
    np.testing.assert_array_equal(values, [[[1, 1.5, 0.5]]])
    # 1.05 steps of 1/128 are missing.
    found = settle(exact, values, np.ones((1, 1)), np.ones((1, 1)), np.zeros(1))
    np.testing.assert_array_equal(found, [[[1 + 1 / 128, 1.5, 0.5]]])


def test_what_is_off_besides_is_made_up_for_where_inputs_hardly_vary() -> None:
    exact = np.array([[[1.0], [2.0]]])
    mean, off = np.array([[0.5, 0.001]]), np.array([-0.5 / 128])
    found = settle(exact, exact, mean, np.zeros((1, 2)), off)
    np.testing.assert_array_equal(found, [[[1 + 1 / 128], [2.0]]])
    # An input that varies far more than it is on average had better be left alone.
    found = settle(exact, exact, mean, np.array([[9.0, 9.0]]), off)
    np.testing.assert_array_equal(found, exact)


@given(
    FLOATS,
    arrays(np.float64, (1, 4), elements=st.floats(-6, 6)),
    arrays(np.float64, (1, 4), elements=st.floats(0, 9)),
    arrays(np.float64, 3, elements=st.floats(-0.1, 0.1)),
)
def test_settling_keeps_to_bfloat16_and_to_a_step_and_never_errs_more(
    exact, mean, variance, off
) -> None:
    exact = exact.astype(np.float64)
    values = nearest(exact)
    found = settle(exact, values, mean, variance, off)
    np.testing.assert_array_equal(nearest(found), found)
    assert (np.abs(found - exact) <= np.abs(exact) / 64).all()
    before, after = (error(exact, each, mean, variance, off) for each in (values, found))
    assert (after <= before + 1e-12).all()


def _edges(weights: np.ndarray, added: np.ndarray, mixing: np.ndarray) -> ov.Model:
    """Filters that look for edges, one a channel, and a mixture of what they find."""
    images = ops.parameter([-1, 16, 16, 3], np.uint8)
    pixels = ops.transpose(ops.convert(images, np.float32), ops.constant([0, 3, 1, 2]))
    kept = ([1, 1], [0, 0], [0, 0], [1, 1])
    found = ops.group_convolution(pixels, ops.constant(weights), *kept)
    found = ops.relu(ops.add(found, ops.constant(added)))
    found = ops.convolution(found, ops.constant(mixing), *kept)
    mean = ops.reduce_mean(found, ops.constant([2, 3]), False)
    return ov.Model([mean.output(0)], [images])


def _computed(model: ov.Model, images: np.ndarray) -> np.ndarray:
    return in_float32(model)([images])[0]


def test_a_rounded_network_errs_far_less_than_one_of_nearest_values() -> None:
    rng = np.random.default_rng(0)
    # Sharp edges that sum to nearly nothing, on pictures that are even for the most part.
    weights = rng.normal(size=(3, 1, 1, 3, 3))
    weights -= weights.mean(axis=(3, 4), keepdims=True) - 0.01
    added = rng.normal(size=(1, 3, 1, 1)) + 1
    mixing = rng.normal(size=(8, 3, 1, 1))
    parts = [part.astype(np.float32) for part in (weights, added, mixing)]
    images = np.repeat(rng.integers(0, 256, (20, 1, 1, 3)), 16, 1).repeat(16, 2)
    images = np.clip(images + rng.normal(size=(20, 16, 16, 3)) * 4, 0, 255).astype(np.uint8)
    exact = _computed(_edges(*parts), images)
    # What is added is rounded when it is computed, in both.
    by_value = _edges(*(nearest(part).astype(np.float32) for part in parts))
    settled = rounded(_edges(*parts), images[:4])
    convolutions = [n for n in settled.get_ordered_ops() if "Convolution" in n.get_type_name()]
    assert len(convolutions) == 2
    for convolution in convolutions:
        held = np.array(convolution.input_value(1).get_node().data)
        np.testing.assert_array_equal(nearest(held), held)
    errors = [np.abs(_computed(model, images[4:]) - exact[4:]) for model in (by_value, settled)]
    assert errors[1].mean() < errors[0].mean() / 4


@pytest.mark.usefixtures("once")
def test_where_openvino_cannot_prepare_it_float32_goes_on(tmp_path: Path, monkeypatch) -> None:
    # As if a later version had no such module any more.
    monkeypatch.setitem(sys.modules, "openvino._offline_transformations", None)
    checkpoint = saved(tmp_path, network())
    models = ConvertedModels(tmp_path / "cache")
    assert models.get(checkpoint, Side.LEFT) is not None
    with pytest.raises(ConversionFailed, match="cannot prepare it"):
        models.get(checkpoint, Side.LEFT, "bfloat16")


@pytest.mark.usefixtures("once")
def test_what_was_rounded_is_kept_beside_what_was_not(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path, network())
    models = ConvertedModels(tmp_path / "cache")
    models.get(checkpoint, Side.LEFT, "bfloat16")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr(converted, "convert", None)
    monkeypatch.setattr(converted, "rounded", None)
    for precision, whole in (("bfloat16", True), ("float32", False)):
        held = [
            np.array(node.input_value(1).get_node().data)
            for node in models.get(checkpoint, Side.LEFT, precision).get_ordered_ops()
            if node.get_type_name() == "Convolution"
            and node.input_value(1).get_node().get_type_name() == "Constant"
        ]
        assert all(np.array_equal(nearest(weights), weights) == whole for weights in held)
