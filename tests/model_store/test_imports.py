from pathlib import Path

import pytest
import torch

from model_store import ModelStore
from model_store.imports import import_model, importable, template


def test_photos_is_imported_once_and_reproduces_its_manifest(tmp_path: Path):
    store = ModelStore(tmp_path)
    first = import_model("photos", store)
    assert import_model("photos", store) == first, "the second import finds nothing to do"
    loaded = store.load("photos")
    expected = template("photos")
    assert loaded.manifest.model_copy(update={"version": expected.version}) == expected
    assert loaded.manifest.calibration is not None


def test_every_importable_model_has_its_manifest():
    assert importable()
    for name in importable():
        assert template(name).name == name


def test_imported_weights_give_what_the_reference_network_gives(tmp_path: Path):
    """The mean and spread of efficientnet-lite-pytorch 0.1.0 on the same input and weights."""
    store = ModelStore(tmp_path)
    import_model("photos", store)
    backbone = store.load("photos").network.branches[0].backbone
    images = torch.linspace(0, 5000, 3 * 224 * 224).sin().view(1, 3, 224, 224)
    with torch.inference_mode():
        features = backbone(images)
    assert features.shape == (1, 1280, 7, 7)
    assert features.mean().item() == pytest.approx(0.111177, rel=1e-3)
    assert features.std().item() == pytest.approx(0.494929, rel=1e-3)
