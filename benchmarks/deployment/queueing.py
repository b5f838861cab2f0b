"""A simulation of replicas behind the balancer: what latency which load brings.

Each replica is one device that works on one batch at a time: when it is free, it takes all images
that wait, up to the largest batch. A batch takes a fixed time and a time for each image, which is
what was measured (docs/scaling.md). The balancer gives a request to the replica with the fewest in
work, as HAProxy's `leastconn` does, in turn among equals. A request is answered when its last image
is. Decoding, the network and the balancer's own time count as part of the time for an image.
"""

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Replica:
    """What a replica takes for its work, with the CPUs that it has.

    Attributes:
        batch_seconds: For a batch, whatever is in it.
        image_seconds: For each image of a batch.
        max_batch: Most images in a batch.
    """

    batch_seconds: float
    image_seconds: float
    max_batch: int = 8

    def seconds(self, images: int) -> float:
        """How long a batch of so many images takes."""
        return self.batch_seconds + images * self.image_seconds

    def capacity(self) -> float:
        """Comparisons a second, of two images each, that the replica can do at most."""
        return self.max_batch / self.seconds(self.max_batch) / 2

    def slowed(self, times: float) -> "Replica":
        """The same with so many times less of the CPUs."""
        return Replica(self.batch_seconds * times, self.image_seconds * times, self.max_batch)


def arrivals(rate: float, count: int, seed: int | None) -> list[float]:
    """When requests come, in seconds: at random (a Poisson process), or evenly without a seed."""
    if seed is None:
        return [number / rate for number in range(count)]
    source = random.Random(seed)
    return list(itertools.accumulate(source.expovariate(rate) for _ in range(count)))


def simulate(replica: Replica, replicas: int, times: list[float], images: int = 2) -> list[float]:
    """How long each request takes, in seconds.

    Args:
        replica: What each of them is like.
        replicas: How many there are, at least 1.
        times: When requests come, in seconds, ascending.
        images: Images in a request.

    Returns:
        In the order of the requests.
    """
    waiting: list[deque[int]] = [deque() for _ in range(replicas)]
    at_work: list[list[int]] = [[] for _ in range(replicas)]
    in_work = [0] * replicas
    missing = [images] * len(times)
    taken = [0.0] * len(times)
    turn = 0
    # Ends of batches: when, and whose.
    ends: list[tuple[float, int]] = []

    def begin(now: float, which: int) -> None:
        queue = waiting[which]
        at_work[which] = [queue.popleft() for _ in range(min(len(queue), replica.max_batch))]
        if at_work[which]:
            heapq.heappush(ends, (now + replica.seconds(len(at_work[which])), which))

    def end(now: float, which: int) -> None:
        for request in at_work[which]:
            missing[request] -= 1
            if not missing[request]:
                taken[request] = now - times[request]
                in_work[which] -= 1
        begin(now, which)

    for request, time in enumerate(times):
        while ends and ends[0][0] <= time:
            end(*heapq.heappop(ends))
        order = [(turn + step) % replicas for step in range(replicas)]
        which = min(order, key=lambda each: in_work[each])
        turn = which + 1
        in_work[which] += 1
        waiting[which].extend([request] * images)
        if not at_work[which]:
            begin(time, which)
    while ends:
        end(*heapq.heappop(ends))
    return taken
