"""What of the service's limits is one front-end's."""

import math

from app.inference.engines import largest_batch
from app.settings import Settings
from model_store.cpus import available_cpus

_LEAST_BATCH = 8


def share_of(settings: Settings, device: str) -> Settings:
    """The settings of one front-end, of as many as `settings.processes` says.

    The images and bytes in the queue, the cache and the threads that decode are divided. No share
    is less than one request may need: `max_images` images, the largest body, one thread. So where
    the processes are many, or a setting is small, the sum of the shares is more than the setting.

    The images a second that a key may send are divided where they are counted (`app.api.guard`),
    as keys have rates of their own beside the setting. On CUDA the largest batch is divided too,
    down to eight images: a front-end has page-locked memory for it, and no more than its share of
    what is in flight.

    Args:
        settings: The whole service's.
        device: From `choose_device`.
    """
    parts = settings.processes
    largest_body = max(settings.max_body_bytes, settings.max_many_body_bytes)
    threads = settings.decode_threads or available_cpus()
    batch = largest_batch(settings.max_batch, device)
    if device != "cpu":
        batch = min(batch, max(_LEAST_BATCH, math.ceil(batch / parts)))
    return settings.model_copy(
        update={
            "queue_images": max(math.ceil(settings.queue_images / parts), settings.max_images),
            "queue_bytes": max(math.ceil(settings.queue_bytes / parts), largest_body),
            "cache_bytes": settings.cache_bytes // parts,
            "decode_threads": max(1, threads // parts),
            "max_batch": batch,
        }
    )
