"""Which engine runs a network on the CPU, and in what precision."""

import contextlib
import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.inference.engines.agreement import EngineDisagrees, check
from app.inference.engines.base import Engine
from app.inference.engines.timing import best_seconds_within
from app.inference.engines.torch_cpu import TorchCpuEngine
from app.inference.errors import InferenceError
from app.observability.logs import fields
from app.settings import EngineName, PrecisionName
from model_store import Checkpoint

if TYPE_CHECKING:
    from app.inference.engines.converted import ConvertedModels
    from app.inference.engines.openvino_cpu import OpenVinoEngine

_logger = logging.getLogger(__name__)

_ROUNDED = ("bfloat16", "int8")
_OTHERWISE = "TWINLENS_PRECISION=auto"

_WORTH_ROUNDING = 1.3
"""How many times faster bfloat16 must be to be chosen: CPUs that compute it by themselves are 1.8
times as fast and more, the others no faster than in float32 or slower. What a busy machine adds to
a measurement must not decide: replicas that chose differently would give different scores. Where
1.8 was meant, a hundred measurements found 1.4 at the least."""

_MEASURED_SECONDS = 1.0
_TRIALS = (6, 60)
"""At least and at most, as many as the time allows. It is measured once and kept, so it may take
long enough to find each precision undisturbed."""


def asked_for(engine: EngineName, precision: PrecisionName) -> bool:
    """Whether settings name OpenVINO, or what it alone computes in: nothing takes its place then.

    Args:
        engine: As the `ENGINE` setting.
        precision: As the `PRECISION` setting.
    """
    return engine == "openvino" or precision in _ROUNDED


def make_cpu_engine(
    checkpoint: Checkpoint,
    *,
    engine: EngineName,
    precision: PrecisionName,
    threads: int,
    cache: Path,
) -> Engine:
    """OpenVINO where it can run the network, checked against PyTorch; else PyTorch.

    Args:
        checkpoint: The network.
        engine: As the `ENGINE` setting.
        precision: As the `PRECISION` setting.
        threads: Threads to compute on.
        cache: Folder for converted networks.

    Raises:
        InferenceError: What was asked for by name cannot be had, or computes something else.
    """
    if precision == "float16":
        raise InferenceError(
            f"TWINLENS_PRECISION=float16 is for CUDA devices; on the CPU set {_OTHERWISE}"
        )
    if engine == "torch":
        if precision in _ROUNDED:
            raise InferenceError(
                f"TWINLENS_PRECISION={precision} is for TWINLENS_ENGINE=openvino; with "
                f"TWINLENS_ENGINE=torch set {_OTHERWISE}"
            )
        return TorchCpuEngine(checkpoint.network, threads, "set by ENGINE")
    try:
        return _openvino(checkpoint, precision, threads, cache)
    except InferenceError as error:
        if precision in _ROUNDED and _OTHERWISE not in str(error):
            raise InferenceError(f"{error}; with PyTorch set {_OTHERWISE}, too") from error
        if asked_for(engine, precision):
            raise
        _logger.warning(
            "PyTorch runs this model, more slowly than OpenVINO would: %s",
            error,
            extra=fields(model=checkpoint.manifest.name, version=checkpoint.manifest.version),
        )
        return TorchCpuEngine(checkpoint.network, threads, f"PyTorch, because: {error}")


def _openvino(
    checkpoint: Checkpoint, precision: PrecisionName, threads: int, cache: Path
) -> "OpenVinoEngine":
    try:
        from app.inference.engines.converted import ConvertedModels
    except ImportError as error:
        raise InferenceError(
            f"OpenVINO cannot be loaded ({error}); install the package openvino for this machine, "
            "or set TWINLENS_ENGINE=torch"
        ) from error
    converted = ConvertedModels(cache)
    if precision != "auto":
        try:
            return _checked(converted, checkpoint, precision, threads, "precision set by PRECISION")
        except EngineDisagrees as error:
            if precision not in _ROUNDED:
                raise
            raise EngineDisagrees(f"{error}; set {_OTHERWISE}") from error
    return _fastest(converted, checkpoint, threads)


def _fastest(
    converted: "ConvertedModels", checkpoint: Checkpoint, threads: int
) -> "OpenVinoEngine":
    """In bfloat16 where that is much faster on CPUs like this one, as found before; else not."""
    from app.inference.engines.gains import keep_gain, read_gain
    from app.inference.engines.openvino_runtime import runtime

    checked = partial(_checked, converted, checkpoint)
    if "BF16" not in runtime().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return checked("float32", threads, "this CPU has no bfloat16")
    folder = converted.folder(checkpoint)
    try:
        gain = read_gain(folder)
        if gain is None:
            gain = keep_gain(folder, _measured(converted, checkpoint))
        if gain >= _WORTH_ROUNDING:
            reason = f"bfloat16 is {gain:.1f} times as fast as float32 on this CPU"
            return checked("bfloat16", threads, reason)
    except InferenceError as error:
        return checked("float32", threads, f"float32, because {error}")
    reason = f"float32, because bfloat16 is {gain:.1f} times as fast on this CPU"
    return checked("float32", threads, reason)


def _measured(converted: "ConvertedModels", checkpoint: Checkpoint) -> float:
    """How many times as fast bfloat16 is as float32, on one thread.

    Raises:
        InferenceError: One of them computes something else, or cannot be compiled.
    """
    with contextlib.ExitStack() as closing:
        both = []
        for precision in ("bfloat16", "float32"):
            engine = _checked(converted, checkpoint, precision, 1, "")
            closing.callback(engine.close)
            both.append(engine)
        count = both[0].concurrency.batch or 1
        blank = np.zeros((count, *checkpoint.manifest.preprocessing.shape), np.uint8)
        fast, slow = best_seconds_within(both, blank, seconds=_MEASURED_SECONDS, trials=_TRIALS)
    return slow / fast


def _checked(
    converted: "ConvertedModels",
    checkpoint: Checkpoint,
    precision: str,
    threads: int,
    reason: str,
) -> "OpenVinoEngine":
    from app.inference.engines.openvino_cpu import OpenVinoEngine

    sides = checkpoint.network.sides
    try:
        models = {side: converted.get(checkpoint, side, precision) for side in sides}
        engine = OpenVinoEngine(models, precision=precision, threads=threads, reason=reason)
    except RuntimeError as error:
        raise InferenceError(
            f"OpenVINO cannot compile this network for this CPU ({error}); set "
            "TWINLENS_ENGINE=torch"
        ) from error
    try:
        found = check(engine, checkpoint.reference)
    except RuntimeError as error:
        engine.close()
        raise EngineDisagrees(
            f"{engine.name} on {engine.device} in {precision} cannot compute this network ({error})"
        ) from error
    except BaseException:
        engine.close()
        raise
    _logger.info("engine agrees with PyTorch", extra=fields(precision=precision, **asdict(found)))
    return engine
