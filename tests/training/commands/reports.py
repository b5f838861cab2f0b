"""A store to report on, and a report's page as it is read again."""

import base64
import io
import re
from contextlib import nullcontext

from PIL import Image

from model_store.store import ModelStore
from tests.training import small
from tests.training.report.test_html import read
from tests.training.trees import grown, pngs
from tests.training.undrawing import without_pictures
from training.cli import main
from training.data.opening import open_data
from training.data.split import split_classes
from training.history import Row, to_csv
from training.report.html import Html

NAMES = [f"g{group}/c<{n}>/{image}.png" for group in "ab" for n in range(4) for image in range(3)]


SECTIONS = [
    "summary",
    "warnings",
    "data",
    "split",
    "training",
    "separation",
    "calibration",
    "thresholds",
    "worst",
    "kinds",
    "map",
    "figures",
    "start",
    "card",
]


def filled(tmp_path):
    """A store with a model that has all files beside it and one that has none, and images."""
    images = grown(tmp_path / "images", pngs(NAMES))
    store = ModelStore(tmp_path / "store")
    split = split_classes(open_data(images).whole, validation=0.25, calibration=0.25, seed=0)
    store.save(
        "rich",
        small.network("euclidean"),
        description="A <b>model</b>",
        files={
            "card.md": b"# rich\n\n## Warnings\n\n- too few <classes>\n",
            "split.json": split.to_json(),
            "history.csv": to_csv((Row(1, 0.1, 1, 0.1, 2, 9, eer=0.2), Row(2, 0.2, 2, 0.1, 1, 9))),
            "start.json": b'{"both_branches_alike": true, "parts": []}',
            "skipped.csv": b"image,reason\na/<i>.png,not an image\n",
        },
    )
    store.save("bare", small.network("cosine", sides=2))
    return tmp_path


def made(place, model, *more, drawn=False):
    """A report as it is read again; charts are drawn, most of its time, only where that is said."""
    out = place / "the report.html"
    command = ["report", model, "--store", str(place / "store"), "--device", "cpu"]
    with nullcontext() if drawn else without_pictures():
        assert main([*command, "--out", str(out), *map(str, more)]) == 0
    text = out.read_text(encoding="utf-8")
    reader = read(Html(text))
    assert [v for n, v in reader.attributes if n == "id"] == SECTIONS
    # Nothing from outside, nothing that runs, and no markup out of names.
    assert not {"script", "link", "iframe", "i", "b", "c", "classes"} & set(reader.tags)
    addresses = [v for n, v in reader.attributes if n in ("src", "href")]
    assert all(value.startswith(("data:image/", "#")) for value in addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "Content-Security-Policy" in text
    for value in addresses:
        if value.startswith("data:"):
            Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))).load()
    return reader


def pictures(reader):
    return [value for name, value in reader.attributes if name == "alt"]


def calibrating(place, name, data=None):
    words = ["calibrate", name, "--data", str(data or place / "images"), "--far", "0.1"]
    return [*words, "--store", str(place / "store"), "--device", "cpu"]
