"""Convolutions in eight bits."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset13 as ops
from torch import nn

from app.inference.engines import converted
from app.inference.engines.conversion import ConversionFailed, to_openvino
from app.inference.engines.converted import ConvertedModels
from app.inference.engines.openvino_runtime import in_float32, runtime
from app.inference.engines.quantising import grid, quantised
from model_store.network import Side
from tests.app.inference.conversions import eight_bits, saved
from tests.app.material import network


def test_a_grid_of_what_is_never_below_nothing_begins_there() -> None:
    assert grid(0.0, 51.0) == (0.0, 51.0)
    assert grid(2.0, 51.0) == (0.0, 51.0)


def test_a_grid_of_both_sides_has_a_place_for_nothing() -> None:
    # 64 of 255 steps below, of a hundredth each, and 191 above.
    low, high = grid(-0.64, 1.91)
    assert (low, high) == pytest.approx((-0.64, 1.91))
    # In the middle there is no place: 127 steps below and 128 above, as long as those have to be.
    assert grid(-1.0, 1.0) == pytest.approx((-1.0, 128 / 127))
    # 4.5 steps below: with 4 all would be an eighth longer than they need be, with 5 hardly.
    assert grid(-9.0, 501.0) == pytest.approx((-5 * 501 / 250, 501.0))


def test_a_grid_of_nothing_at_all_has_steps() -> None:
    assert grid(0.0, 0.0) == (0.0, 1.0)


@given(st.floats(-1e4, 1e4, width=32), st.floats(0, 1e4, width=32))
def test_a_grid_reaches_as_far_as_it_must_and_hardly_further(low: float, width: float) -> None:
    high = low + width
    first, last = grid(low, high)
    assert first <= min(low, 0) + 1e-9
    assert last >= max(high, 0) - 1e-9
    step = (last - first) / 255
    if step:
        assert first / step == pytest.approx(round(first / step), abs=1e-6)
    # One step is lost at the most, and as much on the other side where one side is next to nothing.
    most = max(high, 0) - min(low, 0) or 1.0
    assert last - first <= most * (1 + 2 / 253) + 1e-9


def _computed(model: ov.Model, images: np.ndarray) -> np.ndarray:
    return in_float32(model)([images])[0].astype(np.float64)


def _one(weights: np.ndarray) -> ov.Model:
    """A convolution of pixels from −100 to 155, as they are."""
    images = ops.parameter([-1, 8, 8, weights.shape[1]], np.uint8)
    pixels = ops.transpose(images, ops.constant([0, 3, 1, 2]))
    pixels = ops.subtract(ops.convert(pixels, np.float32), ops.constant(np.float32(100)))
    kept = ([1, 1], [0, 0], [0, 0], [1, 1])
    return ov.Model([ops.convolution(pixels, ops.constant(weights), *kept).output(0)], [images])


def test_numbers_that_are_not_finite_are_refused() -> None:
    weights = np.full((2, 2, 1, 1), 3e38, np.float32)
    weights[1] *= -1
    first = _one(weights)
    every = ops.constant(np.ones((1, 2, 1, 1), np.float32))
    given = first.output(0).get_node().input_value(0)
    second = ops.convolution(given, every, *([1, 1], [0, 0], [0, 0], [1, 1]))
    model = ov.Model([second.output(0)], first.get_parameters())
    images = np.full((1, 8, 8, 2), 255, np.uint8)
    with pytest.raises(RuntimeError, match="not finite"):
        quantised(model, images)


@eight_bits
def test_a_convolution_is_what_a_loop_over_whole_numbers_makes_of_it() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 3, 2, 2)).astype(np.float32)
    images = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255  # So that a step of the grid is one of a pixel.
    found = _computed(quantised(_one(weights), images), images)
    exact = _computed(_one(weights), images)
    expected = np.zeros_like(exact)
    for filter_ in range(5):
        scale = np.abs(weights[filter_]).max() / 127
        whole = np.round(weights[filter_] / scale)
        for picture in range(4):
            for y in range(7):
                for x in range(7):
                    taken = images[picture, y : y + 2, x : x + 2].astype(int) - 100
                    total = (taken.transpose(2, 0, 1) * whole).sum()
                    expected[picture, filter_, y, x] = total * scale
        # What it is off by in the mean is made up for.
        expected[:, filter_] += (exact - expected)[:, filter_].mean()
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert np.abs(found - exact).max() > 0


class _Deep(nn.Module):
    """Convolutions behind one another, one for each channel among them, and a way around one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.apart = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.mixing = nn.Conv2d(16, 16, 1)
        self.last = nn.Conv2d(16, 24, 3, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 64 - 2
        maps = torch.relu(self.first(pixels))
        maps = maps + self.mixing(torch.relu(self.apart(maps)))
        return torch.cat([self.last(maps), self.last(maps).relu()], 1).mean((2, 3))


def _deep() -> tuple[ov.Model, np.ndarray, np.ndarray]:
    """It, what it is quantised by, and other pictures of the kind."""
    torch.manual_seed(0)
    made = _Deep().eval()
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(120, 50, (24, 20, 20, 3)), 0, 255).astype(np.uint8)
    return to_openvino(made, torch.from_numpy(images[:2])), images[:8], images[8:]


@eight_bits
def test_a_network_in_eight_bits_errs_little_on_pictures_it_was_not_made_by() -> None:
    exact, by, others = _deep()
    wanted = _computed(exact, others)
    found = _computed(quantised(exact, by), others)
    assert 0 < np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


@eight_bits
def test_its_features_are_right_in_the_mean() -> None:
    exact, by, _ = _deep()
    wanted = _computed(exact, by).mean(0)[:24]
    found = _computed(quantised(exact, by), by).mean(0)[:24]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_what_it_was_made_of_stays_as_it_was() -> None:
    exact, by, others = _deep()
    before = _computed(exact, others)
    quantised(exact, by)
    np.testing.assert_array_equal(_computed(exact, others), before)
    assert not any(node.get_type_name() == "FakeQuantize" for node in exact.get_ops())


@eight_bits
def test_every_convolution_is_computed_in_eight_bits() -> None:
    exact, by, _ = _deep()
    types = {}
    for name, model in (("exact", exact), ("eight", quantised(exact, by))):
        compiled = runtime().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32})
        types[name] = [
            str(node.get_rt_info()["runtimePrecision"].astype(str))
            for node in compiled.get_runtime_model().get_ops()
            if "onvolution" in str(node.get_rt_info()["layerType"].astype(str))
        ]
    assert types["exact"] == ["f32"] * len(types["exact"])
    assert len(types["eight"]) >= 4
    assert set(types["eight"]) <= {"i8", "u8"}


@eight_bits
def test_filters_of_nothing_give_nothing() -> None:
    weights = np.zeros((2, 3, 2, 2), np.float32)
    weights[1] = 1
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    found = _computed(quantised(_one(weights), images), images)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found, _computed(_one(weights), images), atol=2)


class _Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.to(torch.float32).flatten(1))


@eight_bits
def test_a_network_without_convolutions_is_refused(tmp_path: Path, monkeypatch) -> None:
    linear = to_openvino(_Linear().eval(), torch.zeros(2, 2, 2, 3, dtype=torch.uint8))
    monkeypatch.setattr(converted, "convert", lambda network, side: linear)
    models = ConvertedModels(tmp_path / "cache")
    with pytest.raises(ConversionFailed, match=r"no convolutions.*set TWINLENS_PRECISION=auto"):
        models.get(saved(tmp_path, network()), Side.LEFT, "int8")


@eight_bits
@pytest.mark.usefixtures("once")
def test_it_is_kept_beside_the_exact_one(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path, network())
    models = ConvertedModels(tmp_path / "cache")
    images = np.random.default_rng(0).integers(0, 256, (3, *checkpoint.network.preprocessing.shape))
    made = _computed(models.get(checkpoint, Side.LEFT, "int8"), images.astype(np.uint8))
    monkeypatch.setattr(converted, "convert", None)
    monkeypatch.setattr(converted, "quantised", None)
    read = _computed(models.get(checkpoint, Side.LEFT, "int8"), images.astype(np.uint8))
    np.testing.assert_allclose(read, made, rtol=1e-5)
    exact = _computed(models.get(checkpoint, Side.LEFT), images.astype(np.uint8))
    assert np.abs(exact - made).max() > 0
