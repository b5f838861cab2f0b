"""OpenVINO on the CPU."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock

import numpy as np
import openvino as ov

from app.inference.engines.base import CALLS_PER_STREAM, Concurrency, Features, UInt8Batch
from app.inference.engines.beside import ALL_TO_DECODING, decode_a_photo
from app.inference.engines.openvino_streams import PIECE, AllThreads, Place, Plan, Streams
from app.inference.engines.timing import typical_seconds_within
from model_store.network import Side

_MEASURED_SECONDS = 0.25
_TRIALS = (3, 24)
"""At least and at most, as many as the time allows: what disturbs a few of them must not decide."""

_SHARED = 1.75
"""How many times as much an image costs beside its network where both take turns on all cores:
caches are emptied, and threads wait for the interpreter while whoever has it waits for a core. With
it, what two CPUs did in float32 and bfloat16 comes out within a tenth, a third about a sixth worse
(docs/performance.md)."""

_FEW = 2
"""How often the images that its calls hold are few; more show that the network is what all wait
for."""


class OpenVinoEngine:
    """Runs each call on one thread from end to end, and keeps some cores free of it if that pays.

    Where one core can do nearly all that the network needs, the network stays on one while few
    images are about, and decoding and Python on another: each finds its own in the caches, and
    nobody who has the interpreter waits for a core. With many about, they share all cores.

    Only an image that comes alone is computed by all threads: two need about two thirds of the
    time, and a tenth more of the processors'.

    Args:
        models: A branch for each side, as `conversion.convert` makes them.
        precision: `float32`, `bfloat16` or `int8`.
        threads: Calls computed at once.
        reason: Why it was chosen.

    Attributes:
        name: `openvino`.
        device: `cpu`.
        precision: As given.
        reason: As given.
        concurrency: A stream a thread; `warm_up` finds out how many this network is worth, and
            whether a few images had better go alone, or rather all of them together. It computes on
            one thread until then.

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
        self.concurrency = Concurrency(threads, CALLS_PER_STREAM * threads, PIECE)
        self._plan = Plan(models, precision)
        # Those that come first get calls first.
        self._streams: list[Place] = [Streams(self._plan, 1)]
        self._for_one: Place | None = None
        self._busy: Counter[Place] = Counter()
        self._lock = Lock()

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`."""
        return self._on(self._first_with_room, batch, side)

    def features_for_one(self, batch: UInt8Batch, side: Side, images: int) -> Features:
        """As `ServesOneCaller.features_for_one`."""
        return self._on(self._free_for_one if images == 1 else self._least_busy, batch, side)

    def warm_up(self, max_batch: int) -> None:
        """Finds out what the network takes, plans it accordingly, and runs each plan once."""
        piece = np.zeros((max(1, min(max_batch, PIECE)), *self._plan.shape), np.uint8)
        self._run(piece)
        decode_a_photo()
        network, decoding = typical_seconds_within(
            (partial(self.features, piece, Side.LEFT), decode_a_photo),
            seconds=_MEASURED_SECONDS,
            trials=_TRIALS,
        )
        self.concurrency = suited(
            self.concurrency, network / len(piece), beside=ALL_TO_DECODING * decoding
        )
        threads = self.concurrency.streams
        if threads == 1:
            return
        own, few = self.concurrency.own or threads, self.concurrency.few
        counts = [own] if few is None else [own, threads - own]
        first = self._streams if own == 1 else [Streams(self._plan, own)]
        self._streams = [*first, *(Streams(self._plan, count) for count in counts[1:])]
        self._for_one = AllThreads(self._plan, threads)
        self._run(piece)
        for side in self._plan.models:
            self.features_for_one(piece[:1], side, 1)

    def close(self) -> None:
        """Gives back memory and threads."""
        self._streams.clear()
        self._for_one = None

    def _run(self, piece: UInt8Batch) -> None:
        for streams in self._streams:
            with ThreadPoolExecutor(streams.count) as callers:
                for side in self._plan.models:
                    for batch in (piece, piece[:1]):
                        calls = [batch] * streams.count
                        list(callers.map(partial(streams.features, side=side), calls))

    def _known(self, side: Side) -> Side:
        return side if side in self._plan.models else Side.LEFT

    def _on(self, choose: Callable[[], Place], batch: UInt8Batch, side: Side) -> Features:
        with self._lock:
            place = choose()
            self._busy[place] += 1
        try:
            return place.features(np.ascontiguousarray(batch), self._known(side))
        finally:
            with self._lock:
                self._busy[place] -= 1

    def _first_with_room(self) -> Place:
        for place in self._streams:
            if self._busy[place] < place.calls:
                return place
        return self._least_busy()

    def _least_busy(self) -> Place:
        return min(self._streams, key=lambda place: self._busy[place] / place.count)

    def _free_for_one(self) -> Place:
        idle = not self._busy.total()
        return self._for_one if self._for_one is not None and idle else self._least_busy()


def suited(most: Concurrency, seconds: float, beside: float) -> Concurrency:
    """How a network is given its batches.

    While it needs no more than one core's share of all that is done for an image, a second stream
    gains nothing: the cores are at work as it is, and batches get smaller and threads more.

    A network that needs more gets some of the cores for itself while few images are about, if the
    slower one of the two, network and all else, is then faster than both sharing all cores.

    Images of a network that costs less than what is done around a batch share large batches. A few
    images of a slower one go to it one by one: in one call each would wait for the last one, and
    one stream for another.

    Args:
        most: With every stream at its disposal.
        seconds: What the network needs for an image.
        beside: What an image costs beside that.
    """
    cores, few = most.streams, None
    if seconds * cores <= seconds + beside:
        own = 1
    else:
        apart, own = max(
            (min(count / seconds, (cores - count) / beside), count) for count in range(1, cores)
        )
        if apart > cores / (seconds + _SHARED * beside):
            few = _FEW * own * CALLS_PER_STREAM * PIECE
        else:
            own = cores
    quick = seconds <= beside
    alone = 0 if quick else own * PIECE
    return replace(most, own=own, few=few, alone=alone, batch=None if quick else PIECE)
