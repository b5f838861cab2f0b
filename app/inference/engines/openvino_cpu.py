"""OpenVINO on the CPU."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Lock

import numpy as np
import openvino as ov

from app.inference.engines.base import CALLS_PER_STREAM, Concurrency, Features, UInt8Batch
from app.inference.engines.beside import beside_seconds
from app.inference.engines.openvino_runtime import runtime
from app.inference.engines.timing import best_seconds
from app.inference.slices import starting_threads_that_compute
from model_store.network import Side

_TYPES = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}

_Requests = SimpleQueue[ov.InferRequest]

_PIECE = 4
"""Images in a large piece: from there on the images a second of one thread hardly grow."""

_TRIALS = 3


class OpenVinoEngine:
    """Runs each call on one thread from end to end, in pieces of four images and of one.

    Only an image that comes alone while there is no other call is computed by all threads: two
    need about two thirds of the time, and a tenth more of the processors'.

    For pieces of other sizes OpenVINO would have to plan for shapes it does not know, which costs a
    tenth to a fifth of its speed; and with the sizes fixed, an image's features hardly depend on
    how many came with it.

    Args:
        models: A branch for each side, as `conversion.convert` makes them.
        precision: `float32` or `bfloat16`.
        threads: Calls computed at once.
        reason: Why it was chosen.

    Attributes:
        name: `openvino`.
        device: `cpu`.
        precision: As given.
        reason: As given.
        concurrency: A stream a thread; `warm_up` finds out whether this network is worth them all,
            and whether a few images had better go alone, or rather all of them together.

    Raises:
        RuntimeError: OpenVINO cannot compile a model.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        models: Mapping[Side, ov.Model],
        *,
        precision: str,
        threads: int,
        reason: str,
    ) -> None:
        self.precision = precision
        self.reason = reason
        self.concurrency = Concurrency(threads, CALLS_PER_STREAM * threads, _PIECE)
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Decoding wants the cores too; a thread bound to one could not give way.
            "ENABLE_CPU_PINNING": False,
        }
        self._requests: dict[tuple[Side, int], _Requests] = {}
        self._by_all: dict[Side, ov.InferRequest] = {}
        for side, model in models.items():
            image = model.input(0).partial_shape[1:]
            self._dimension = int(model.output(0).partial_shape[1].get_length())
            for size in (1, _PIECE):
                fixed = model.clone()
                fixed.reshape(ov.PartialShape([size, *image]))
                compiled = _compiled(fixed, settings)
                idle = _Requests()
                for _ in range(self.concurrency.calls):
                    idle.put(compiled.create_infer_request())
                self._requests[side, size] = idle
                if size == 1 and threads > 1:
                    one_stream = _compiled(fixed, {**settings, "NUM_STREAMS": 1})
                    self._by_all[side] = one_stream.create_infer_request()
        self._shape = tuple(int(length.get_length()) for length in image)
        self._lock = Lock()
        self._calls = 0

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`."""
        if (side, 1) not in self._requests:
            side = Side.LEFT
        batch = np.ascontiguousarray(batch)
        with self._lock:
            self._calls += 1
            # A call that finds no other has the only request of this kind to itself.
            request = self._by_all.get(side) if self._calls == len(batch) == 1 else None
        try:
            if request is not None:
                return _computed(request, batch).copy()
            return self._in_pieces(batch, side)
        finally:
            with self._lock:
                self._calls -= 1

    def _in_pieces(self, batch: UInt8Batch, side: Side) -> Features:
        found = np.empty((len(batch), self._dimension), np.float32)
        start = 0
        for size in _cut(len(batch)):
            idle = self._requests[side, size]
            request = idle.get()
            try:
                found[start : start + size] = _computed(request, batch[start : start + size])
            finally:
                idle.put(request)
            start += size
        return found

    def warm_up(self, max_batch: int) -> None:
        """Runs pieces on each thread, a lone image on all of them, and then some for their time."""
        # Two images at least: a lone one is computed by all threads, and tells nothing of one.
        piece = np.zeros((max(2, min(max_batch, _PIECE)), *self._shape), np.uint8)
        with ThreadPoolExecutor(self.concurrency.streams) as callers:
            for side in dict.fromkeys(side for side, _ in self._requests):
                for batch in (piece, piece[:1]):
                    calls = [batch] * self.concurrency.streams
                    list(callers.map(partial(self.features, side=side), calls))
                self.features(piece[:1], side)
        (seconds,) = best_seconds((self,), piece, turns=_TRIALS)
        each, beside = seconds / len(piece), beside_seconds()
        self.concurrency = suited(self.concurrency, each, beside)

    def close(self) -> None:
        """Gives back memory and threads."""
        self._requests.clear()
        self._by_all.clear()


def _compiled(model: ov.Model, settings: Mapping[str, object]) -> ov.CompiledModel:
    """The network planned for this machine, with the threads that will run it."""
    with starting_threads_that_compute():
        return runtime().compile_model(model, "CPU", dict(settings))


def _computed(request: ov.InferRequest, piece: UInt8Batch) -> Features:
    """What the network makes of a piece; it lies in the request's memory."""
    request.start_async({0: piece}, share_inputs=True)
    request.wait()
    found: Features = request.get_output_tensor(0).data
    return found


def _cut(count: int) -> list[int]:
    large, small = divmod(count, _PIECE)
    return [_PIECE] * large + [1] * small


def suited(most: Concurrency, seconds: float, beside: float) -> Concurrency:
    """How a network is given its batches.

    While it needs no more than one core's share of all that is done for an image, a second stream
    gains nothing: the cores are at work as it is, and batches get smaller and threads more.

    Images of a network that costs less than what is done around a batch share large batches. A few
    images of a slower one go to it one by one: in one call each would wait for the last one, and
    one stream for another.

    Args:
        most: With every stream at its disposal.
        seconds: What the network needs for an image.
        beside: What an image costs beside that.
    """
    quick = seconds <= beside
    own = 1 if seconds * most.streams <= seconds + beside else most.streams
    alone = 0 if quick else most.streams * _PIECE
    return replace(most, own=own, alone=alone, batch=None if quick else _PIECE)
