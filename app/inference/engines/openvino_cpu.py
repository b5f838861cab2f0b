"""OpenVINO on the CPU."""

from collections.abc import Mapping

import numpy as np
import openvino as ov

from app.inference.engines.base import Features, UInt8Batch
from app.inference.engines.openvino_runtime import runtime
from model_store.network import Side

_TYPES = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}

_PIECE = 4
"""Images in a large piece: from there on the images a second of one thread hardly grow."""


class OpenVinoEngine:
    """Cuts a batch into pieces of four images and of one, which threads work through.

    Each piece runs on one thread from end to end. For pieces of other sizes OpenVINO would have to
    plan for shapes it does not know, which costs a tenth to a fifth of its speed; and with the
    sizes fixed, an image's features hardly depend on how many came with it.

    Args:
        models: A branch for each side, as `conversion.convert` makes them.
        precision: `float32` or `bfloat16`.
        threads: Pieces in work at once.
        reason: Why it was chosen.

    Attributes:
        name: `openvino`.
        device: `cpu`.
        precision: As given.
        reason: As given.

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
        self._threads = threads
        core = runtime()
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Decoding wants the cores too; a thread bound to one could not give way.
            "ENABLE_CPU_PINNING": False,
        }
        self._queues: dict[tuple[Side, int], ov.AsyncInferQueue] = {}
        for side, model in models.items():
            image = model.input(0).partial_shape[1:]
            self._dimension = int(model.output(0).partial_shape[1].get_length())
            for size in (1, _PIECE):
                fixed = model.clone()
                fixed.reshape(ov.PartialShape([size, *image]))
                queue = ov.AsyncInferQueue(core.compile_model(fixed, "CPU", settings), threads)
                queue.set_callback(_collect)
                self._queues[side, size] = queue
        self._shape = tuple(int(length.get_length()) for length in image)

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`."""
        if (side, 1) not in self._queues:
            side = Side.LEFT
        batch = np.ascontiguousarray(batch)
        found = np.empty((len(batch), self._dimension), np.float32)
        queues = []
        start = 0
        try:
            for size in self._cut(len(batch)):
                queue = self._queues[side, size]
                queues.append(queue)
                end = start + size
                queue.start_async({0: batch[start:end]}, found[start:end], share_inputs=True)
                start = end
        finally:
            for queue in dict.fromkeys(queues):
                queue.wait_all()
        return found

    def warm_up(self, max_batch: int) -> None:
        """Runs a large and a small piece on each thread and side."""
        count = min(max_batch, self._threads * _PIECE)
        for side, _ in self._queues:
            self.features(np.zeros((count, *self._shape), np.uint8), side)
            self.features(np.zeros((self._threads, *self._shape), np.uint8), side)

    def close(self) -> None:
        """Gives back memory and threads."""
        self._queues.clear()

    def _cut(self, count: int) -> list[int]:
        """Large pieces as long as every thread gets as many; then small ones."""
        large = count // (_PIECE * self._threads) * self._threads
        return [_PIECE] * large + [1] * (count - _PIECE * large)


def _collect(request: ov.InferRequest, place: Features) -> None:
    place[...] = request.get_output_tensor(0).data
