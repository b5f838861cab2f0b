"""What an engine's precision does to figures and decisions: `python -m benchmarks.precision`.

Every image of a folder is embedded by PyTorch in float32, and by the service's CPU engine in each
precision. The same pairs are then scored, and decided by the model's own threshold.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.inference.engines import Engine, UInt8Batch, make_engine
from app.inference.engines.agreement import compare
from app.inference.errors import InferenceError
from app.settings import PrecisionName
from benchmarks.data import data_folder
from benchmarks.output import add_outputs, write_outputs
from benchmarks.provenance import provenance
from model_store import Checkpoint, ModelStore
from model_store.errors import TwinlensError
from model_store.network import Side
from model_store.shipped import SHIPPED
from training.data.folders import ImageFolder
from training.data.opening import open_data
from training.data.pixels import prepared_item
from training.data.sources import Skipped
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.metrics import Floats, alike, roc
from training.evaluation.pairs import ScoredPairs, score_folder

_GROCERIES = data_folder() / "grocery_store/grocery_store.zip/grocery_store/val"
_SHIPPED = (
    f"photos={_GROCERIES}",
    f"glyphs={data_folder()}/omniglot/images_validation.zip",
    f"groceries={_GROCERIES}",
)
_REFERENCE = "torch float32"
_PRECISIONS: tuple[PrecisionName, ...] = ("float32", "bfloat16", "int8")
_BATCH = 16


@dataclass(frozen=True)
class Found:
    """What one engine made of a folder.

    Attributes:
        features: float32 (images, dimension).
        scored: All pairs, or the sample that every engine gets.
    """

    features: Floats
    scored: ScoredPairs


def measure(name: str, data: Path, store: ModelStore) -> list[dict[str, Any]]:
    """One model on a folder of images: a row for PyTorch, and one for each precision.

    Args:
        name: Of the model; one whose sides share weights.
        data: The folder, or an archive.
        store: Where the model is.
    """
    checkpoint = store.load(name)
    folder = open_data(data).whole
    if folder is None:
        raise SystemExit(f"{data} holds train/ and val/; name one of them")
    images = []
    for item in folder.items:
        image = prepared_item(folder, item, checkpoint.manifest.preprocessing)
        if isinstance(image, Skipped):
            raise SystemExit(f"{image.key}: {image.reason}")
        images.append(image)
    found = {}
    for engine, forward in _engines(checkpoint):
        batches = [images[at : at + _BATCH] for at in range(0, len(images), _BATCH)]
        parts = [forward(np.stack(batch)) for batch in batches]
        found[engine] = _judged(checkpoint, folder, torch.cat(parts))
        print(f"{name}: {engine} done", file=sys.stderr)
    return [
        {"model": name, "images": len(images), "engine": engine}
        | beside(checkpoint, one, found[_REFERENCE])
        for engine, one in found.items()
    ]


def beside(checkpoint: Checkpoint, one: Found, reference: Found) -> dict[str, Any]:
    """An engine's figures, and how far it is from PyTorch in float32."""
    cosines, _ = compare(one.features, reference.features)
    curve = roc(one.scored.genuine_alike, one.scored.impostor_alike)
    calibration = checkpoint.manifest.calibration
    row: dict[str, Any] = {
        "auc": curve.auc(),
        "eer": curve.eer(),
        "cosine_mean": float(cosines.mean()),
        "cosine_worst": float(cosines.min()),
        "score_differs_most": float(np.abs(_scores(one) - _scores(reference)).max()),
    }
    if calibration is not None:
        metric = one.scored.metric
        threshold = alike([calibration.threshold], metric)[0]
        same = [alike(_scores(each), metric) >= threshold for each in (one, reference)]
        row["decisions_alike"] = float(np.mean(same[0] == same[1]))
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    heads = (
        "Model, images",
        "Engine",
        "AUC",
        "Equal error rate",
        "Decisions as PyTorch's",
        "Cosine, mean and worst",
        "Scores differ by at most",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        decisions = f"{row['decisions_alike']:.3%}" if "decisions_alike" in row else "no threshold"
        lines.append(
            f"| `{row['model']}`, {row['images']:,} | {row['engine']} | {row['auc']:.5f} | "
            f"{row['eer']:.5f} | {decisions} | {row['cosine_mean']:.6f}, "
            f"{row['cosine_worst']:.6f} | {row['score_differs_most']:.4f} |"
        )
    return "\n".join(lines)


def _engines(checkpoint: Checkpoint) -> Iterator[tuple[str, Callable[[UInt8Batch], torch.Tensor]]]:
    def by_torch(batch: UInt8Batch) -> torch.Tensor:
        with torch.inference_mode():
            return checkpoint.network.features(torch.from_numpy(batch), Side.LEFT)

    yield _REFERENCE, by_torch
    for precision in _PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                engine = make_engine(
                    checkpoint,
                    engine="openvino",
                    device="cpu",
                    precision=precision,
                    cache=Path(folder),
                )
            except InferenceError as error:
                print(f"{checkpoint.manifest.name}: {error}", file=sys.stderr)
                continue
        yield f"{engine.name} {engine.precision}", partial(_by_engine, engine)
        engine.close()


def _by_engine(engine: Engine, batch: UInt8Batch) -> torch.Tensor:
    return torch.from_numpy(engine.features(batch, Side.LEFT).copy())


def _judged(checkpoint: Checkpoint, folder: ImageFolder, features: torch.Tensor) -> Found:
    network = checkpoint.network
    with torch.inference_mode():
        embeddings = network.finish(features, Side.LEFT).clone()
    embedded = EmbeddedFolder(embeddings, folder, ())
    return Found(features.double().numpy(), score_folder(network, embedded))


def _scores(one: Found) -> Floats:
    return np.concatenate([one.scored.genuine, one.scored.impostor])


def main() -> None:
    """Runs the command.

    Raises:
        SystemExit: A model or its images cannot be used; the message says why.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision",
        description="What each precision of the CPU engine does to figures and decisions.",
    )
    parser.add_argument(
        "models",
        nargs="*",
        default=_SHIPPED,
        metavar="MODEL=DATA",
        help="a model and a folder (or archive) of images; the shipped ones on TWINLENS_DATA if "
        "none is given",
    )
    parser.add_argument("--store", type=Path, default=SHIPPED, metavar="FOLDER")
    add_outputs(parser)
    options = parser.parse_args()
    store = ModelStore(options.store)
    rows = []
    for pair in options.models:
        name, _, data = pair.partition("=")
        try:
            rows += measure(name, Path(data), store)
        except TwinlensError as error:
            sys.exit(f"error: {error}")
    result = {**provenance("benchmarks.precision"), "rows": rows}
    write_outputs(options, result)
    print(f"`{result['command']}`, {result['date']}: {result['machine']}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
