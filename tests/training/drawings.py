"""Folders of small drawings, made by code: classes that a network can learn in a few steps."""

import random
from pathlib import Path

from PIL import Image, ImageDraw


def draw_folder(
    root: Path, *, classes: int, images: int, groups: int = 0, size: int = 32, seed: int = 0
) -> Path:
    """Writes class/image, or group/class/image if there are groups; each class is one polyline."""
    rng = random.Random(seed)
    for group in range(max(groups, 1)):
        for number in range(classes):
            points = [(rng.uniform(5, size - 5), rng.uniform(5, size - 5)) for _ in range(5)]
            folder = root / (f"group{group}" if groups else "") / f"class{number:02}"
            folder.mkdir(parents=True)
            for image in range(images):
                picture = Image.new("L", (size, size), 255)
                moved = [(x + rng.uniform(-1, 1), y + rng.uniform(-1, 1)) for x, y in points]
                ImageDraw.Draw(picture).line(moved, fill=0, width=2)
                picture.save(folder / f"{image:02}.png")
    return root


SMALL_RECIPE = """
description: A small network for small drawings.
network:
  branches:
    - backbone: residual
      options: {stem: 8, stem_kernel: 3, stem_stride: 2, widths: [8, 16], blocks: [1, 1]}
      pooling: flatten
      projection: 16
      batch_norm: true
      normalise: true
  comparator: {name: euclidean}
preprocessing: {height: 32, width: 32, mode: L, mean: [1.0], std: [1.0]}
data: {turned_classes: true, workers: 2}
split: {validation: 0.25, calibration: 0.25}
sampling: {name: shuffled}
augmentation: {name: glyphs}
loss: {name: cosine-softmax, options: {margin_warm_up: 0.5}}
optimiser: {name: sgd, learning_rate: 0.05, weight_decay: 0.0005}
schedule: {name: cosine, warm_up: 0.2}
batch: 8
batches_per_step: 2
max_steps: 12
mean_decay: 0.9
weights: float16
validation: {times: 2}
# Timed on a busy machine, a network as small as this may seem faster in bf16.
precision: float32
"""


def write_recipe(path: Path, text: str = SMALL_RECIPE) -> Path:
    """A recipe file."""
    path.write_text(text)
    return path


def fitting_place(root: Path, *, classes: int, images: int) -> Path:
    """A folder with drawings in `data` and the small recipe in `small.yaml`."""
    draw_folder(root / "data", classes=classes, images=images)
    write_recipe(root / "small.yaml")
    return root


def fit_words(place: Path, store: Path, name: str = "m") -> list[str]:
    """What fits a model on the drawings of a `fitting_place`; a recipe is still to be named."""
    words = ["fit", "--data", str(place / "data"), "--name", name, "--device", "cpu"]
    return [*words, "--store", str(store)]


def with_recipe(place: Path, *values: str) -> list[str]:
    """The recipe of a `fitting_place`, with values of it replaced."""
    sets = [word for value in values for word in ("--set", value)]
    return ["--recipe", str(place / "small.yaml"), *sets]


def leave_one(*classes: Path) -> None:
    """Takes all images but the first out of folders of classes."""
    for folder in classes:
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()
