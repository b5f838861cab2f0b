"""Places where OpenVINO computes a network, each planned for some threads."""

from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import openvino as ov

from app.inference.engines.base import CALLS_PER_STREAM, Features, UInt8Batch
from app.inference.engines.openvino_runtime import runtime
from app.inference.slices import starting_threads_that_compute
from model_store.network import Side

PIECE = 4
"""Images in a large piece: from there on the images a second of one thread hardly grow."""

# Eight bits are in the model itself.
_TYPES = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16, "int8": ov.Type.f32}

_Requests = SimpleQueue[ov.InferRequest]


@dataclass(frozen=True)
class Plan:
    """What is planned.

    Attributes:
        models: A branch for each side, as `conversion.convert` makes them.
        precision: `float32`, `bfloat16` or `int8`.
    """

    models: Mapping[Side, ov.Model]
    precision: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image: height, width, channels."""
        image = next(iter(self.models.values())).input(0).partial_shape[1:]
        return tuple(int(length.get_length()) for length in image)

    @property
    def dimension(self) -> int:
        """Features of an image."""
        return int(next(iter(self.models.values())).output(0).partial_shape[1].get_length())

    def compiled(self, side: Side, images: int, *, streams: int, threads: int) -> ov.CompiledModel:
        """One branch for so many images a call.

        Raises:
            RuntimeError: OpenVINO cannot compile it.
        """
        model = self.models[side]
        fixed = model.clone()
        fixed.reshape(ov.PartialShape([images, *model.input(0).partial_shape[1:]]))
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[self.precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            # Decoding wants the cores too; a thread bound to one could not give way. But those that
            # share a lone image would often be put on the same core.
            "ENABLE_CPU_PINNING": threads > streams,
        }
        with starting_threads_that_compute():
            return runtime().compile_model(fixed, "CPU", settings)


class Place(Protocol):
    """Where calls are computed.

    Attributes:
        count: Calls computed at once.
        calls: Calls that it can be given at once.
    """

    count: int
    calls: int

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`, of a side that has a model; it may be given `calls` at once."""
        ...


class Streams:
    """Some streams, a thread each, and as many calls again that may wait behind them.

    A call runs on one thread from end to end, in pieces of four images and of one. For pieces of
    other sizes OpenVINO would have to plan for shapes it does not know, which costs a tenth to a
    fifth of its speed; and with the sizes fixed, an image's features hardly depend on how many came
    with it.

    Args:
        plan: What they compute.
        count: How many.

    Attributes:
        count: As given.
        calls: As `Place`.

    Raises:
        RuntimeError: OpenVINO cannot compile a model.
    """

    def __init__(self, plan: Plan, count: int) -> None:
        self.count = count
        self.calls = CALLS_PER_STREAM * count
        self._dimension = plan.dimension
        self._requests: dict[tuple[Side, int], _Requests] = {}
        for side in plan.models:
            for size in (1, PIECE):
                compiled = plan.compiled(side, size, streams=count, threads=count)
                idle = _Requests()
                for _ in range(self.calls):
                    idle.put(compiled.create_infer_request())
                self._requests[side, size] = idle

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Place.features`; more calls than it has wait."""
        found = np.empty((len(batch), self._dimension), np.float32)
        start = 0
        for size in _cut(len(batch)):
            idle = self._requests[side, size]
            request = idle.get()
            try:
                found[start : start + size] = computed(request, batch[start : start + size])
            finally:
                idle.put(request)
            start += size
        return found


class AllThreads:
    """All threads at one image, one image at a time.

    Args:
        plan: What they compute.
        threads: How many.

    Attributes:
        count: 1.
        calls: 1.

    Raises:
        RuntimeError: OpenVINO cannot compile a model.
    """

    count = 1
    calls = 1

    def __init__(self, plan: Plan, threads: int) -> None:
        self._requests = {
            side: plan.compiled(side, 1, streams=1, threads=threads).create_infer_request()
            for side in plan.models
        }

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Place.features`."""
        return computed(self._requests[side], batch).copy()


def computed(request: ov.InferRequest, piece: UInt8Batch) -> Features:
    """What the network makes of a piece; it lies in the request's memory."""
    request.start_async({0: piece}, share_inputs=True)
    request.wait()
    found: Features = request.get_output_tensor(0).data
    return found


def _cut(count: int) -> list[int]:
    large, small = divmod(count, PIECE)
    return [PIECE] * large + [1] * small
