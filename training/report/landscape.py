"""A map of embeddings: images that the network takes for alike lie close to each other."""

import colorsys
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from training.data.sample import sampled_rows
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.metrics import Floats, Indices
from training.pictures.examples import load_image
from training.report.html import Html, data_address, element

IMAGES, CLASSES = 320, 40
_WIDTH, _HEIGHT, _TILE = 1000.0, 720.0, 30.0
_LEAST_FOR_TSNE = 12
_COMPONENTS = 50
_PERPLEXITY = 20.0
_ROUNDS = 120


@dataclass(frozen=True)
class Landscape:
    """Images on a plane.

    Attributes:
        rows: int64 (N,), which images of the folder.
        places: Float64 (N, 2), where each lies; x to the right and y down, both in [0, 1].
        method: How the places were found.
    """

    rows: Indices
    places: Floats
    method: str


def lay_out(embedded: EmbeddedFolder, *, seed: int = 0, cosine: bool = False) -> Landscape:
    """Finds places in which neighbours in the space of embeddings are neighbours.

    t-SNE (van der Maaten, Hinton 2008) from a principal component analysis; the latter alone for
    fewer than 12 images, of which there is no neighbourhood to keep.

    Args:
        embedded: The images, of which at most `IMAGES` of at most `CLASSES` classes are taken.
        seed: Of the choice and of t-SNE.
        cosine: Whether only the direction of an embedding counts.
    """
    rows = sampled_rows(embedded.labels, IMAGES, seed=seed, classes=CLASSES)
    vectors = embedded.embeddings[torch.from_numpy(rows)].double().numpy()
    if cosine:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
    plain = min(*vectors.shape, _COMPONENTS)
    left, lengths, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    components = (left * lengths)[:, :plain]
    if len(rows) < _LEAST_FOR_TSNE:
        flat, method = components[:, :2], "principal component analysis"
    else:
        # Late, because it is a tenth of what every start of `fit` loads, which seldom comes here.
        from sklearn.manifold import TSNE

        tsne = TSNE(
            perplexity=min(_PERPLEXITY, (len(rows) - 1) / 3),
            init="pca" if plain >= 2 and components.std() > 0 else "random",
            random_state=seed % 2**32,  # It takes no more.
            # For so few images it takes less time than the approximation.
            method="exact",
        )
        flat, method = tsne.fit_transform(components), "t-SNE"
    if flat.shape[1] < 2:
        flat = np.hstack([flat, np.zeros((len(flat), 2 - flat.shape[1]))])
    return Landscape(rows, _into_square(flat.astype(np.float64)), method)


def draw_map(embedded: EmbeddedFolder, landscape: Landscape) -> Html:
    """The map as SVG: each image in a frame of its class's colour, its name on pointing at it."""
    spots = _apart(landscape.places * (_WIDTH - 2 * _TILE, _HEIGHT - 2 * _TILE) + _TILE)
    labels = embedded.labels[landscape.rows]
    colours = {label: _colour(n) for n, label in enumerate(np.unique(labels).tolist())}
    tiles = []
    for row, (x, y) in zip(landscape.rows.tolist(), spots.tolist(), strict=True):
        item = embedded.folder.items[row]
        image = load_image(embedded.folder, item)
        if image is None:
            continue
        name = embedded.folder.classes[item.label].name
        tiles.append(_tile(image, x, y, colours[item.label], f"{name}\n{item.key}"))
    return element(
        "svg",
        *tiles,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
        aria_label=f"Map of {len(tiles)} images of {len(colours)} classes by their embeddings",
        class_="map",
    )


def _tile(image: Image.Image, x: float, y: float, colour: str, title: str) -> Html:
    shown = image.convert("RGB")
    # Twice the size drawn, for fine screens.
    shown.thumbnail((int(2 * _TILE), int(2 * _TILE)))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=80)
    left, top = f"{x - _TILE / 2:.1f}", f"{y - _TILE / 2:.1f}"
    side = f"{_TILE:.0f}"
    place = {"x": left, "y": top, "width": side, "height": side}
    return element(
        "g",
        element("title", title),
        element("rect", **place, rx="3", fill=colour, stroke=colour, stroke_width="4"),
        element("image", **place, href=data_address(file.getvalue())),
    )


def _into_square(places: Floats) -> Floats:
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    return np.where(span > 0, (places - low) / np.where(span > 0, span, 1), 0.5)


def _apart(spots: Floats) -> Floats:
    """Moves tiles that lie on each other apart, a little at a time, and keeps all on the map."""
    generator = np.random.default_rng(0)
    wanted = _TILE + 5
    limits = (_TILE / 2 + 3, np.array([_WIDTH, _HEIGHT]) - _TILE / 2 - 3)
    for _ in range(_ROUNDS):
        # Of two at the very same place, such as a corner, one has to go one way.
        spots = spots + generator.normal(scale=0.5, size=spots.shape)
        gap = spots[:, None, :] - spots[None, :, :]
        overlap = np.maximum(0, wanted - np.abs(gap))
        overlap[(overlap == 0).any(axis=2)] = 0
        # Along the shorter way out only.
        across = overlap[:, :, 0] <= overlap[:, :, 1]
        push = np.where(np.stack([across, ~across], axis=2), overlap * np.sign(gap), 0)
        moved = np.clip(0.25 * push.sum(axis=1), -wanted / 2, wanted / 2)
        spots = np.clip(spots + moved, *limits)
    return spots


def _colour(position: int) -> str:
    """Colours that differ as much as may be, by steps of the golden angle."""
    shade = (0.5, 0.38, 0.62)[position % 3]
    red, green, blue = colorsys.hls_to_rgb(position * 0.381966 % 1, shade, 0.65)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
