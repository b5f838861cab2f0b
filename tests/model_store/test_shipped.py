import zipfile
from pathlib import Path

import numpy as np
import torch

from model_store import Metric, ModelStore
from model_store.images import decode_prepared
from model_store.store import SHIPPED


def test_glyphs_ships_whole_calibrated_and_small():
    checkpoint = ModelStore().load("glyphs")
    assert checkpoint.manifest.metric is Metric.EUCLIDEAN_DISSIMILARITY
    assert checkpoint.manifest.calibration is not None
    assert sum(file.stat().st_size for file in checkpoint.path.iterdir()) < 10_000_000
    assert "## Figures" in (checkpoint.path / "card.md").read_text(encoding="utf-8")


def test_the_default_model_is_one_that_ships_or_is_imported():
    assert ModelStore(SHIPPED).index().default == "photos"


def test_glyphs_tells_characters_of_an_unknown_alphabet_apart(data: Path):
    checkpoint = ModelStore().load("glyphs")
    with zipfile.ZipFile(data / "omniglot" / "images_validation.zip") as archive:
        names = sorted(name for name in archive.namelist() if "/Keble/" in name)
        first = [name for name in names if name.endswith("_01.png")][:20]
        second = [name for name in names if name.endswith("_02.png")][:20]
        prepared = [
            decode_prepared(archive.read(name), checkpoint.manifest.preprocessing)
            for name in first + second
        ]
    assert len(prepared) == 40
    with torch.inference_mode():
        embeddings = checkpoint.network.embed(torch.from_numpy(np.stack(prepared)))
    gallery, queries = embeddings[:20], embeddings[20:]
    nearest = torch.cdist(queries, gallery).argmin(1)
    assert (nearest == torch.arange(20)).sum() >= 18, "98 % right over this whole alphabet"
