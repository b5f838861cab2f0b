"""Where an image's time goes, on one core: `python -m benchmarks.stages`.

Each stage alone, by the code that serves: the mean over the photos of the best of several turns,
because whatever else the machine does can only slow a turn down.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np
import orjson
import torch

from app.inference.engines import make_engine
from app.inference.errors import InferenceError
from app.settings import EngineName, PrecisionName, Settings
from benchmarks.output import add_outputs, write_outputs
from benchmarks.photos import load_photos
from model_store import ModelStore
from model_store.images import decode
from model_store.network import Side
from model_store.preprocessing import prepare
from model_store.shipped import SHIPPED

T = TypeVar("T")

_PHOTOS = 32
_BATCHES = (1, 4, 8)
_ENGINES: tuple[tuple[EngineName, PrecisionName], ...] = (
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("torch", "float32"),
)


def best(work: Callable[[T], object], items: Sequence[T], turns: int) -> float:
    """Milliseconds for an item."""
    shortest = [math.inf] * len(items)
    for _ in range(turns):
        for index, item in enumerate(items):
            started = perf_counter()
            work(item)
            shortest[index] = min(shortest[index], perf_counter() - started)
    return 1000 * float(np.mean(shortest))


def measure(model: str, turns: int) -> dict[str, float]:
    """Milliseconds an image by stage."""
    torch.set_num_threads(1)
    settings = Settings()
    store = ModelStore(SHIPPED)
    spec = store.manifest(model).preprocessing
    files, _ = load_photos(_PHOTOS)
    images = [decode(file, spec=spec) for file in files]
    prepared = np.stack([prepare(image, spec) for image in images])
    found = {
        "decode": best(lambda file: decode(file, spec=spec), files, turns),
        "resize and crop": best(lambda image: prepare(image, spec), images, turns),
    }
    for name, precision in _ENGINES:
        try:
            engine = make_engine(
                store.load(model),
                engine=name,
                precision=precision,
                device="cpu",
                threads=1,
                cache=settings.engine_cache,
            )
        except InferenceError as error:
            print(f"{model}: {error}", file=sys.stderr)
            continue
        engine.warm_up(max(_BATCHES))
        for size in _BATCHES:
            batches = [prepared[start : start + size] for start in range(0, _PHOTOS, size)]
            took = best(partial(engine.features, side=Side.LEFT), batches, turns)
            found[f"forward, {name} {precision}, batch {size}"] = took / size
        rows = engine.features(prepared[:1], Side.LEFT)
        engine.close()
    answer = {"model": model, "version": 1, "dimension": rows.shape[1], "embeddings": rows}
    found["JSON of the answer, orjson"] = best(
        lambda content: orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), [answer], 100
    )
    listed = {**answer, "embeddings": rows.tolist()}
    found["the same by json.dumps"] = best(json.dumps, [listed], 100)
    return found


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--model", default="photos")
    parser.add_argument("--turns", type=int, default=8)
    add_outputs(parser)
    options = parser.parse_args()
    found = measure(options.model, options.turns)
    for stage, milliseconds in found.items():
        print(f"{stage:40} {milliseconds:7.3f} ms")
    write_outputs(options, found)


if __name__ == "__main__":
    main()
