"""Folders and archives of small images, and embedded folders without any."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.data.folders import ImageClass, ImageFolder, Item
from training.data.opening import open_data
from training.data.sources import FolderSource
from training.evaluation.embedding import EmbeddedFolder


def png(seed: int = 0, size: tuple[int, int] = (12, 12)) -> bytes:
    """A small grey image, another for every seed."""
    values = np.random.default_rng(seed).integers(0, 256, size=size[::-1], dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def pngs(names: Iterable[str]) -> dict[str, bytes]:
    """An image for every name."""
    return {name: png(seed) for seed, name in enumerate(names)}


def grown(root: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files under a folder; returns it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def zipped(path: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Writes files into an archive, names as they are; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def whole(path: Path) -> ImageFolder:
    """All the images at a path whose folders make no split."""
    opened = open_data(path)
    assert opened.train is None
    assert opened.validation is None
    assert opened.whole is not None
    return opened.whole


def embedded(
    embeddings: Iterable[Iterable[float]],
    names: Iterable[str],
    *,
    files: Iterable[str] | None = None,
    source: str = "made-up",
) -> EmbeddedFolder:
    """Embeddings chosen by hand, with the class of each by name (`group/class` or `class`)."""
    vectors = torch.tensor([list(row) for row in embeddings], dtype=torch.float32)
    of = list(names)
    classes = sorted(set(of))
    stems = [f"{position}.png" for position in range(len(of))] if files is None else list(files)
    order = sorted(range(len(of)), key=lambda row: f"{of[row]}/{stems[row]}")
    folder = ImageFolder(
        FolderSource(Path(source)),
        tuple(ImageClass(name, name.split("/")[0] if "/" in name else "") for name in classes),
        tuple(Item(f"{of[row]}/{stems[row]}", classes.index(of[row])) for row in order),
    )
    return EmbeddedFolder(vectors[order], folder, ())
