import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store import Metric, ModelStore
from model_store.images import decode_prepared
from model_store.imports import importable, template
from model_store.shipped import SHIPPED


def test_glyphs_ships_whole_calibrated_and_small():
    checkpoint = ModelStore().load("glyphs")
    assert checkpoint.manifest.metric is Metric.EUCLIDEAN_DISSIMILARITY
    assert checkpoint.manifest.calibration is not None
    assert sum(file.stat().st_size for file in checkpoint.path.iterdir()) < 10_000_000
    assert "## Figures" in (checkpoint.path / "card.md").read_text(encoding="utf-8")


def test_groceries_ships_whole_and_calibrated():
    checkpoint = ModelStore().load("groceries")
    assert checkpoint.manifest.metric is Metric.EUCLIDEAN_DISSIMILARITY
    assert checkpoint.manifest.calibration is not None
    assert checkpoint.typicality is not None
    assert checkpoint.probe is not None
    assert "## Figures" in (checkpoint.path / "card.md").read_text(encoding="utf-8")


def intervals_in(value, name=""):
    """Every interval of a manifest, by its name."""
    if name.endswith("interval") and isinstance(value, list):
        yield name, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            inner = name if name.endswith("interval") else key
            yield from intervals_in(entry, inner)
    elif isinstance(value, list):
        for entry in value:
            yield from intervals_in(entry)


@pytest.mark.parametrize("name", ["glyphs", "groceries", *importable()])
def test_no_interval_is_a_point(name):
    """As they were where not one error was seen, before the exact interval was held."""
    manifest = template(name) if name in importable() else ModelStore(SHIPPED).manifest(name)
    found = list(intervals_in(manifest.model_dump(mode="json")))
    assert len(found) >= 8
    for which, (low, high) in found:
        assert high - low > 1e-3, which


def test_the_default_model_is_one_that_ships_or_is_imported():
    assert ModelStore(SHIPPED).index().default == "photos"


def test_glyphs_tells_characters_of_an_unknown_alphabet_apart(data: Path):
    checkpoint = ModelStore().load("glyphs")
    with zipfile.ZipFile(data / "omniglot" / "images_validation.zip") as archive:
        names = sorted(name for name in archive.namelist() if "/Keble/" in name)
        prepared = [
            decode_prepared(archive.read(name), checkpoint.manifest.preprocessing)
            for drawer in range(1, 7)
            for name in [n for n in names if n.endswith(f"_{drawer:02}.png")][:20]
        ]
    with torch.inference_mode():
        embeddings = checkpoint.network.embed(torch.from_numpy(np.stack(prepared)))
    by_drawer = embeddings.view(6, 20, -1)
    right = [
        (torch.cdist(by_drawer[query], by_drawer[gallery]).argmin(1) == torch.arange(20)).float()
        for query in range(6)
        for gallery in range(6)
        if query != gallery
    ]
    assert torch.cat(right).mean() > 0.93, "98 % right over all drawers of this alphabet"
