import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store import ModelStore
from model_store.errors import CheckpointDamaged, StoreError
from model_store.network import Side
from model_store.pictures import COUNT, drawn
from model_store.probe import Probe, from_bytes
from tests import tiny


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_it_is_what_the_stored_weights_make_of_the_pictures(tmp_path, sides, dtype) -> None:
    store = ModelStore(tmp_path)
    made = tiny.network(preprocessing=tiny.COLOUR_32, sides=sides).train()
    store.save("mine", made, dtype=dtype)
    assert made.training, "the network that is saved stays as it is"
    loaded = store.load("mine")
    assert loaded.probe is not None
    assert np.array_equal(loaded.probe.images, drawn(tiny.COLOUR_32))
    assert loaded.probe.torch == torch.__version__
    assert set(loaded.probe.features) == set(Side if sides == 2 else [Side.LEFT])
    for side, rows in loaded.probe.features.items():
        with torch.inference_mode():
            expected = loaded.network.features(torch.from_numpy(loaded.probe.images), side)
        np.testing.assert_allclose(rows, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert loaded.reference is loaded.probe


def test_it_stays_as_it_was_given_and_through_revisions(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    network = tiny.network()
    own = Probe.of(network)
    given = replace(own, features={Side.LEFT: own.features[Side.LEFT] + 1}, torch="1.0")
    store.save("mine", network, probe=given)
    store.revise("mine", 1, files={"note.md": b"more"})
    loaded = store.load("mine")
    assert loaded.manifest.version == 2
    assert loaded.probe is not None
    assert loaded.probe.torch == "1.0"
    assert np.array_equal(loaded.probe.features[Side.LEFT], given.features[Side.LEFT])


def test_a_checkpoint_from_before_asks_its_network(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    tiny.without_probe(store.save("mine", tiny.network()).path)
    loaded = store.load("mine")
    assert loaded.probe is None
    expected = Probe.of(tiny.network()).features[Side.LEFT]
    np.testing.assert_allclose(loaded.reference.features[Side.LEFT], expected, rtol=1e-5)
    # Calibrating anew, for one, completes it.
    store.revise("mine", 1)
    assert store.load("mine").probe is not None


def test_any_flipped_bit_is_refused_and_so_is_a_file_that_is_gone(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    path = store.save("mine", tiny.network()).path / "probe.safetensors"
    data = path.read_bytes()
    draw = random.Random(0)
    for bit in [0, 8 * len(data) - 1, *(draw.randrange(8 * len(data)) for _ in range(20))]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointDamaged, match=r"probe\.safetensors: .* train again"):
            store.load("mine")
    path.unlink()
    with pytest.raises(CheckpointDamaged, match=r"probe\.safetensors: it cannot be read"):
        store.load("mine")
    path.write_bytes(data)
    assert store.load("mine").probe is not None


def test_no_other_file_may_have_its_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be the name"):
        ModelStore(tmp_path).save("mine", tiny.network(), files={"probe.safetensors": b""})


def test_another_networks_probe_is_refused() -> None:
    probe = Probe.of(tiny.network())
    data = probe.to_bytes()
    record = probe.record(data)
    height, width, channels = probe.images.shape[1:]
    shape = (height, width, channels)
    dimension = probe.features[Side.LEFT].shape[1]
    assert len(from_bytes(data, record, shape, dimension).images) == COUNT
    for wrong_shape, wrong_dimension in (((height, width, 3), dimension), (shape, dimension + 1)):
        with pytest.raises(StoreError, match="no probe of a network"):
            from_bytes(data, record, wrong_shape, wrong_dimension)
    rows = probe.features[Side.LEFT]
    for other in (
        replace(probe, features={}),
        replace(probe, images=probe.images.astype(np.int16)),
        replace(probe, features={Side.LEFT: rows.astype(np.float64)}),
        replace(probe, images=probe.images[:0], features={Side.LEFT: rows[:0]}),
        replace(probe, features={Side.LEFT: rows, Side.RIGHT: rows[:-1]}),
    ):
        data = other.to_bytes()
        with pytest.raises(StoreError, match="no probe"):
            from_bytes(data, other.record(data), shape, dimension)


def test_one_feature_that_is_no_number_is_noticed() -> None:
    probe = Probe.of(tiny.network())
    assert probe.finite
    rows = probe.features[Side.LEFT]
    broken = rows.copy()
    broken[1, 2] = np.nan
    for features in ({Side.LEFT: broken}, {Side.LEFT: rows, Side.RIGHT: broken}):
        assert not replace(probe, features=features).finite
