"""What runs a network: the service's own engines, and those that it could have had."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import _dynamo as dynamo

from app.inference.engines import Engine, Features, UInt8Batch, make_engine
from app.inference.engines.conversion import BranchFeatures
from app.settings import EngineName
from benchmarks.engines import networks
from benchmarks.throughput import Contender, Forward
from model_store.network import Side

OURS = "OpenVINO"

_MOST_COMPILED = 1000


def contenders(
    name: str, batch: int, threads: int, folder: Path
) -> Iterator[tuple[str, Contender]]:
    """Everything that can embed batches of that size, by name.

    Ours is called as the service calls it; where it takes bfloat16, inductor has that too. Where
    there are several threads, those that are not ours come in two forms: all threads on one batch,
    and a batch on each thread.

    Args:
        name: One of `networks.NAMES`.
        batch: Images.
        threads: To compute on.
        folder: Where what was made of networks is kept for the next run.
    """
    ours = _service(name, "openvino", batch, threads, folder)
    yield OURS, Contender.of(ours)
    yield "eager", Contender.of(_service(name, "torch", batch * threads, threads, folder))
    yield "ONNX Runtime", Contender(_onnxruntime(name, batch, threads, folder))
    compilers = {"inductor": False}
    if ours.precision == "bfloat16":
        compilers["inductor in bfloat16"] = True
    for compiler, halved in compilers.items():
        yield compiler, Contender(_inductor(name, threads, folder, halved=halved))
    if threads > 1:
        each = "a batch a thread"
        yield f"ONNX Runtime, {each}", Contender(_onnxruntime(name, batch, 1, folder), threads)
        for compiler, halved in compilers.items():
            alone = _inductor(name, 1, folder, halved=halved)
            yield f"{compiler}, {each}", Contender(alone, threads)


def _service(name: str, engine: EngineName, batch: int, threads: int, folder: Path) -> Engine:
    """As `ENGINE=` with `PRECISION=auto`."""
    made = make_engine(
        networks.load(name, folder),
        engine=engine,
        device="cpu",
        threads=threads,
        cache=folder / "converted",
    )
    made.warm_up(batch)
    return made


def _onnxruntime(name: str, batch: int, threads: int, folder: Path) -> Forward:
    import onnxruntime

    path = folder / f"{name}-{batch}.onnx"
    if not path.exists():
        network = networks.load(name, folder).network
        example = torch.zeros(batch, *network.preprocessing.shape, dtype=torch.uint8)
        branch = BranchFeatures(network, Side.LEFT).eval()
        torch.onnx.export(branch, (example,), path, dynamo=True, verbose=False)
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


def _inductor(name: str, threads: int, folder: Path, *, halved: bool) -> Forward:
    """PyTorch's compiler with weights frozen in; compiled anew for each shape of batch.

    Args:
        name: One of `networks.NAMES`.
        threads: To compute on.
        folder: As for `contenders`.
        halved: Whether it computes in bfloat16, by autocast, and not in float32.
    """
    # All compile one function, and PyTorch would run what is over its limit uncompiled.
    dynamo.config.recompile_limit = _MOST_COMPILED
    dynamo.config.fail_on_recompile_limit_hit = True
    network = networks.load(name, folder).network
    network.branches.to(memory_format=torch.channels_last)
    branch = BranchFeatures(network, Side.LEFT).eval()
    compiled = torch.compile(branch, dynamic=False, options={"freezing": True})

    def forward(images: UInt8Batch) -> Features:
        torch.set_num_threads(threads)  # The calling thread's.
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=halved):
            features: Features = compiled(torch.from_numpy(images)).float().numpy()
        return features

    return forward
