"""Bytes made by hand as dlib's serialisation has them."""

import struct

import numpy as np
import pytest

from model_store.imports.dlib_format import (
    NotDlibFormat,
    read_network,
    read_shape_predictor,
)
from model_store.imports.dlib_format.numbers import integers


def integer(value: int) -> bytes:
    digits = abs(value).to_bytes((abs(value).bit_length() + 7) // 8 or 1, "little")
    return bytes([len(digits) | (0x80 if value < 0 else 0)]) + digits


def real(value: float) -> bytes:
    return integer(int(value * 1024)) + integer(-10)


def many(*values: int) -> bytes:
    return b"".join(integer(value) for value in values)


def column(*values: float) -> bytes:
    return many(-len(values), -1) + b"".join(real(value) for value in values)


def tensor(*values: float) -> bytes:
    return many(2, len(values), 1, 1, 1) + struct.pack(f"<{len(values)}f", *values)


def named(name: bytes) -> bytes:
    return integer(len(name)) + name


def tree(threshold: float, left: float, right: float) -> bytes:
    split = many(1, 0, 1) + real(threshold)
    leaves = many(2) + column(left, left, 0, 0) + column(right, right, 0, 0)
    return split + leaves


def predictor(trees: list[bytes]) -> bytes:
    return (
        many(1)
        + column(0.25, 0.5, 0.75, 0.5)
        + many(1, len(trees))
        + b"".join(trees)
        + many(1, 2, 0, 1)  # one cascade, two pixels beside the first and the second point
        + many(1, 2)
        + b"".join(map(real, (0.5, 0, 0, -0.25)))
    )


def test_integers_have_a_sign_and_as_many_bytes_as_they_need():
    values = [0, 1, -1, 255, 256, -65_536, 2**40 + 3]
    assert integers(many(*values)).tolist() == values
    assert integers(b"\x02\x2c\x01\x81\x05").tolist() == [300, -5]
    assert integers(b"").tolist() == []


@pytest.mark.parametrize("data", [b"\x02\x01", b"\x01", b"\x0f" + bytes(15)])
def test_a_number_cut_off_or_too_long_is_refused(data):
    with pytest.raises(NotDlibFormat):
        integers(data)


def test_a_shape_predictor_is_read_whole():
    found = read_shape_predictor(predictor([tree(3.5, 1, 2), tree(-0.5, 3, 4)]))
    assert found.initial.tolist() == [[0.25, 0.5], [0.75, 0.5]]
    assert found.anchors.tolist() == [[0, 1]]
    assert found.deltas.tolist() == [[[0.5, 0], [0, -0.25]]]
    assert found.pixels.tolist() == [[[[0, 1]], [[0, 1]]]]
    assert found.thresholds.tolist() == [[[3.5], [-0.5]]]
    assert found.leaves.shape == (1, 2, 2, 2, 2)
    assert found.leaves[0, 1, 1].tolist() == [[4, 4], [0, 0]]
    assert {array.dtype for array in (found.initial, found.deltas, found.leaves)} == {
        np.dtype("float32")
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (predictor([tree(1, 2, 3)])[:-3], "ends"),
        (predictor([tree(1, 2, 3)]) + many(0), "goes on"),
        (many(2), "where a shape predictor has 1"),
        (b"", "too early"),
        (predictor([tree(1, 2, 3), many(2)]), "ends|differ"),
        (predictor([tree(1, 2, 3)]).replace(real(1), many(1, 32_000), 1), "infinite"),
    ],
)
def test_what_is_no_shape_predictor_is_refused(data, message):
    with pytest.raises(NotDlibFormat, match=message):
        read_shape_predictor(data)


def convolution(filters: int, *values: float) -> bytes:
    return named(b"con_4") + tensor(*values) + many(filters, 1, 1, 1, 1, 0, 0)


def test_a_network_gives_its_layers_in_order_with_what_follows_worked_in():
    data = (
        b"\x01\x01"
        + named(b"input_rgb_image_sized")
        + convolution(2, 1, 2, 10, 20)  # one input channel: two weights, two biases
        + named(b"affine_")
        + tensor(3, 5, 100, 200)
        + convolution(1, 7, 8, 9)
        + named(b"fc_2")
        + many(3, 2)
        + tensor(1, 2, 3, 4, 5, 6)
    )
    (first, second), linear = read_network(data)
    assert first.weight.tolist() == [[3], [10]]
    assert first.bias.tolist() == [3 * 10 + 100, 5 * 20 + 200]
    assert second.weight.tolist() == [[7, 8]]
    assert second.bias.tolist() == [9]
    assert linear.tolist() == [1, 2, 3, 4, 5, 6]


def test_batch_normalisation_becomes_factor_and_shift():
    alias = many(1, 1, 1, 1, 1)
    data = (
        convolution(1, 2, 1)
        + named(b"bn_con2")
        + tensor(6, 0.5)  # gamma, beta
        + alias * 2
        + tensor()
        + tensor()
        + tensor(4)  # running mean
        + tensor(8.75)  # running variance
        + many(100, 100)
        + real(1) * 4
        + real(0.25)  # epsilon: the deviation is 3
    )
    ((layer,), linear) = read_network(data)
    assert linear is None
    assert layer.weight.tolist() == [[2 * 6 / 3]]
    assert layer.bias.tolist() == [1 * 2 + 0.5 - 2 * 4]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing of dlib's",
        named(b"con_4") + tensor(1, 2)[:-1],
        named(b"con_4"),
        convolution(3, 1, 2, 3, 4),
        convolution(1, 1, 2) + named(b"affine_") + tensor(1, 2, 3, 4),
    ],
)
def test_what_is_no_network_is_refused(data):
    with pytest.raises(NotDlibFormat):
        read_network(data)
