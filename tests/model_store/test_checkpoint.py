"""What is loaded of a checkpoint, and what is refused."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_store import Metric, ModelStore
from model_store import manifest as manifests
from model_store.errors import (
    CheckpointDamaged,
    FormatTooNew,
    UnknownComponent,
)
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from tests import tiny


def rewrite_manifest(folder: Path, **changes) -> None:
    content = json.loads((folder / "manifest.json").read_bytes())
    content.pop("digest")
    content.update(changes)
    content["digest"] = manifests._digest(content)
    (folder / "manifest.json").write_text(json.dumps(content))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_in_the_weights_is_refused(filled: ModelStore, data: st.DataObject):
    path = filled.find("bad").path / "weights.safetensors"
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointDamaged, match=r"weights\.safetensors.*restore it"):
            filled.load("bad")
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("file", ["weights.safetensors", "manifest.json"])
def test_a_missing_file_is_named(tmp_path: Path, file: str):
    store = ModelStore(tmp_path)
    (store.save("mine", tiny.network()).path / file).unlink()
    with pytest.raises(CheckpointDamaged, match=rf"{file} cannot be read"):
        store.load("mine")


@pytest.mark.parametrize("file", ["weights.safetensors", "manifest.json", "probe.safetensors"])
def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path, file: str):
    store = ModelStore(tmp_path)
    pipe = store.save("mine", tiny.network()).path / file
    pipe.unlink()
    os.mkfifo(pipe)
    # Whoever does wait is let go.
    writer = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)), daemon=True)
    writer.start()
    with pytest.raises(CheckpointDamaged, match=rf"{file}.* a pipe or a device, and no file"):
        store.load("mine")


def test_weights_that_do_not_fit_the_network_are_refused(tmp_path: Path):
    store = ModelStore(tmp_path)
    reference = store.save("mine", tiny.network())
    wider = tiny.network_spec(dimension=9).model_dump(mode="json")
    rewrite_manifest(reference.path, network=wider, dimension=9)
    with pytest.raises(CheckpointDamaged, match=r"weights\.safetensors does not fit"):
        store.load("mine")


@pytest.mark.parametrize(
    "wider",
    [
        {"hidden": [20_000, 20_000]},
        {"options": {"stem": 4, "widths": [4, 20_000], "blocks": [1, 1]}},
        {"options": {"stem": 4, "widths": [4, 8], "blocks": [1, 10**9]}},
    ],
)
def test_a_network_that_its_file_has_no_values_for_is_not_built(tmp_path: Path, wider: dict):
    store = ModelStore(tmp_path)
    reference = store.save("mine", tiny.network())
    spec = tiny.network_spec().model_dump(mode="json")
    spec["branches"][0].update(wider)
    rewrite_manifest(reference.path, network=spec)
    with pytest.raises(
        CheckpointDamaged, match=r"manifest\.json: the network would have more values"
    ):
        store.load("mine")


@pytest.mark.parametrize("architecture", ["shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_a_classifier_that_a_library_builds_and_a_backbone_drops_is_no_reason_to_refuse(
    tmp_path: Path, architecture: str
):
    branch = BranchSpec(backbone="torchvision", options={"architecture": architecture})
    spec = NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine"))
    store = ModelStore(tmp_path)
    store.save("mine", SiameseNetwork(spec, tiny.COLOUR_32).eval(), dtype="float16")
    assert store.load("mine").manifest.network == spec


def test_promises_that_the_network_does_not_keep_are_refused(tmp_path: Path):
    store = ModelStore(tmp_path)
    reference = store.save("mine", tiny.network())
    rewrite_manifest(reference.path, metric=Metric.COSINE_SIMILARITY)
    with pytest.raises(CheckpointDamaged, match="promises cosine_similarity"):
        store.load("mine")
    kept = Metric.EUCLIDEAN_DISSIMILARITY
    rewrite_manifest(reference.path, metric=kept, dimension=9)
    with pytest.raises(CheckpointDamaged, match=r"on 9 values, and its network gives .* on 8"):
        store.load("mine")


def test_weights_that_are_no_safetensors_are_refused_though_the_manifest_has_their_digest(
    tmp_path: Path,
):
    store = ModelStore(tmp_path)
    path = store.save("mine", tiny.network()).path
    data = b"pickled long ago"
    (path / "weights.safetensors").write_bytes(data)
    weights = store.manifest("mine").weights.model_dump()
    weights |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    rewrite_manifest(path, weights=weights)
    with pytest.raises(CheckpointDamaged, match=r"weights\.safetensors does not fit"):
        store.load("mine")


def test_a_loaded_network_keeps_nothing_for_gradients(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    assert not any(parameter.requires_grad for parameter in store.load("mine").network.parameters())


def test_an_unknown_network_is_refused_and_the_file_named(tmp_path: Path):
    store = ModelStore(tmp_path)
    reference = store.save("mine", tiny.network())
    other = json.loads((reference.path / "manifest.json").read_bytes())["network"]
    other["branches"][0]["backbone"] = "resnet-9000"
    rewrite_manifest(reference.path, network=other)
    with pytest.raises(UnknownComponent, match=r"manifest\.json.*resnet-9000.*known: "):
        store.load("mine")


def test_a_newer_format_leaves_the_other_models_alone(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("good", tiny.network())
    rewrite_manifest(store.save("new", tiny.network()).path, format=99)
    with pytest.raises(FormatTooNew, match="upgrade Twinlens"):
        store.load("new")
    assert [reference.name for reference in store.models()] == ["good", "new"]
    store.load("good")
