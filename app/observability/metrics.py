"""Prometheus metrics of one service, in a registry of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.observability.distributions import Distributions

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGES = ("read", "decode", "queue", "device", "score")
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _OfModels(Collector):
    """A gauge that has the models which there are at the moment."""

    def __init__(
        self, name: str, description: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name = name
        self._description = description
        self._values = values

    def collect(self) -> Iterable[Metric]:
        """What a scrape sees, as `prometheus_client` asks for it."""
        family = GaugeMetricFamily(self._name, self._description, labels=["model"])
        for model, value in self._values().items():
            family.add_metric([model], value)
        yield family


class Metrics:
    """All that is measured. Every method may be called from any thread.

    Attributes:
        registry: Where the metrics live; no other service shares it.
        distributions: Of scores and of typicality.
        api_keys_stale: Whether the keys in use are older than their file.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.distributions = Distributions()
        self.registry.register(self.distributions)
        self._requests = Counter(
            "twinlens_requests",
            "Requests answered; status 499 stands for a client that left before its answer.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "twinlens_request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "twinlens_stage_seconds",
            "Time by stage: read (a body), decode (an image), queue (an image's wait for the "
            "device), device (a batch, with its wait inside the engine), score (a request's "
            "comparisons).",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = {stage: self._stage_seconds.labels(stage) for stage in _STAGES}
        self._device_busy = Counter(
            "twinlens_device_busy_seconds",
            "Seconds of the device's time that were used; one each second where it never rests.",
            registry=self.registry,
        )
        self._load = 0.0
        self._load_since = perf_counter()
        self._load_lock = Lock()
        self.api_keys_stale = Gauge(
            "twinlens_api_keys_stale",
            "1 while the file of API keys cannot be read and the keys before it stay good, else 0.",
            registry=self.registry,
        )
        self._batch_images = Histogram(
            "twinlens_batch_images",
            "Images in a batch.",
            ["model"],
            buckets=_BATCH_SIZES,
            registry=self.registry,
        )
        self._rejections = Counter(
            "twinlens_rejections",
            "Requests not served, by the slug of the problem they were answered with.",
            ["reason"],
            registry=self.registry,
        )
        self._dropped = Counter(
            "twinlens_dropped_images",
            "Images whose request had ended: before or while they were decoded (decode), before "
            "they reached the device (queue), or while they were on it (device).",
            ["where"],
            registry=self.registry,
        )
        self._cache = Counter(
            "twinlens_cache_lookups",
            "Images looked up in the embedding cache: hit, miss, or joined (the same image was "
            "already in work).",
            ["result"],
            registry=self.registry,
        )
        self._engine_failures = Counter(
            "twinlens_engine_failures",
            "Batches (batch) and single images (image) that an engine failed on.",
            ["model", "what"],
            registry=self.registry,
        )
        self._engine_rebuilds = Counter(
            "twinlens_engine_rebuilds",
            "Engines rebuilt since they failed on everything or hung, or the device process died, "
            "by result (mended, failed).",
            ["model", "result"],
            registry=self.registry,
        )
        self._model_loads = Counter(
            "twinlens_model_loads",
            "Attempts to load a model version, by result (loaded, refused).",
            ["model", "result"],
            registry=self.registry,
        )
        self._versions: Mapping[str, float] = {}
        self.watch_models(
            "twinlens_model_version",
            "The version of a model that answers now.",
            lambda: self._versions,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Records how long a stage took."""
        self._stages[stage].observe(seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Records how long the block took, whether it succeeds or not."""
        started = perf_counter()
        try:
            yield
        finally:
            self.stage(stage, perf_counter() - started)

    def batch(self, model: str, images: int, seconds: float) -> None:
        """Records a batch that the device has computed."""
        self._batch_images.labels(model).observe(images)
        self.stage("device", seconds)

    def device_load(self, load: float) -> None:
        """Records that from now on this part of the device is used, from 0 to 1."""
        with self._load_lock:
            now = perf_counter()
            self._device_busy.inc(self._load * (now - self._load_since))
            self._load, self._load_since = load, now

    def rejected(self, reason: str) -> None:
        """Counts a request that was not served."""
        self._rejections.labels(reason).inc()

    def dropped(self, where: str) -> None:
        """Counts an image whose request had ended."""
        self._dropped.labels(where).inc()

    def cache_lookup(self, result: str) -> None:
        """Counts a look into the cache."""
        self._cache.labels(result).inc()

    def engine_failed(self, model: str, what: str) -> None:
        """Counts a batch or an image that an engine failed on."""
        self._engine_failures.labels(model, what).inc()

    def engine_rebuilt(self, model: str, *, mended: bool) -> None:
        """Counts an attempt to rebuild an engine."""
        self._engine_rebuilds.labels(model, "mended" if mended else "failed").inc()

    def model_load(self, model: str, *, loaded: bool) -> None:
        """Counts an attempt to load a model version."""
        self._model_loads.labels(model, "loaded" if loaded else "refused").inc()

    def model_versions(self, versions: dict[str, int]) -> None:
        """Replaces the versions that answer now."""
        # At once: of a gauge that is emptied and filled, a scrape meanwhile would see a part.
        self._versions = dict(versions)

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Adds a gauge whose value is asked for at every scrape, from the thread that makes it."""
        Gauge(name, description, registry=self.registry).set_function(value)

    def watch_models(
        self, name: str, description: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        """Adds a gauge whose values, by model, are asked for likewise."""
        self.registry.register(_OfModels(name, description, values))

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
