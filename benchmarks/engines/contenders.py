"""What runs a network: the service's own engines, and those that it could have had."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from app.inference.engines import Features, UInt8Batch, make_engine
from app.settings import EngineName
from benchmarks.engines import networks
from model_store.network import SiameseNetwork, Side

Forward = Callable[[UInt8Batch], Features]

OURS = "OpenVINO"


class _Features(nn.Module):
    """From uint8 to features, normalisation included, as the service's engines have it."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.features(images, Side.LEFT)


def contenders(name: str, batch: int, threads: int, folder: Path) -> Iterator[tuple[str, Forward]]:
    """Everything that can embed batches of that size, by name, ready to be called.

    Where there are several threads, those that are not ours come in two forms: one batch worked on
    by all threads, and one part of the batch for each.

    Args:
        name: One of `networks.NAMES`.
        batch: Images.
        threads: To compute on.
        folder: Where what was made of networks is kept for the next run.
    """
    yield OURS, _service(name, "openvino", batch, threads, folder)
    yield "eager", _service(name, "torch", batch, threads, folder)
    yield "ONNX Runtime", _onnxruntime(name, batch, threads, folder)
    yield "inductor", _inductor(name, threads, folder)
    if 1 < threads <= batch:
        part = batch // threads
        parts = [_onnxruntime(name, part, 1, folder) for _ in range(threads)]
        yield "ONNX Runtime, parts", _in_parts(parts)
        yield "inductor, parts", _in_parts([_inductor(name, 1, folder) for _ in range(threads)])


def _service(name: str, engine: EngineName, batch: int, threads: int, folder: Path) -> Forward:
    """As `ENGINE=` with `PRECISION=auto`."""
    made = make_engine(
        networks.load(name, folder),
        engine=engine,
        device="cpu",
        threads=threads,
        cache=folder / "converted",
    )
    made.warm_up(batch)
    return lambda images: made.features(images, Side.LEFT)


def _onnxruntime(name: str, batch: int, threads: int, folder: Path) -> Forward:
    import onnxruntime

    path = folder / f"{name}-{batch}.onnx"
    if not path.exists():
        network = networks.load(name, folder).network
        example = torch.zeros(batch, *network.preprocessing.shape, dtype=torch.uint8)
        torch.onnx.export(_Features(network).eval(), (example,), path, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = (entry.name for entry in session.get_inputs())

    def forward(images: UInt8Batch) -> Features:
        (features,) = session.run(None, {given: images})
        found: Features = features
        return found

    return forward


def _inductor(name: str, threads: int, folder: Path) -> Forward:
    """PyTorch's compiler with weights frozen in; compiled anew for each shape of batch."""
    network = networks.load(name, folder).network
    network.branches.to(memory_format=torch.channels_last)
    compiled = torch.compile(_Features(network).eval(), dynamic=False, options={"freezing": True})

    def forward(images: UInt8Batch) -> Features:
        torch.set_num_threads(threads)  # The calling thread's.
        with torch.no_grad():
            features: Features = compiled(torch.from_numpy(images)).numpy()
        return features

    return forward


def _in_parts(parts: list[Forward]) -> Forward:
    """Each part of a batch on a thread of its own."""
    pool = ThreadPoolExecutor(len(parts))

    def forward(images: UInt8Batch) -> Features:
        cut = np.array_split(images, len(parts))
        return np.concatenate(list(pool.map(lambda part, piece: part(piece), parts, cut)))

    return forward
