"""Histograms of scores and of typicality, beside where the calibration's own lie.

Buckets differ by model: a score's unit is its metric's, and its buckets end where the calibration
knows what share of genuine and impostor pairs to expect. `prometheus_client.Histogram` has one set
of buckets for all labels, hence a collector.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import numpy.typing as npt
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from model_store.manifest import Manifest
from model_store.metric import Metric as ScoreMetric
from model_store.typicality import Typicality

Floats = npt.NDArray[np.float64]

TYPICALITY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Where the buckets of typicality end; the last one ends at 1, the most there is."""

_TENTHS = tuple(tenth / 10 for tenth in range(1, 10))
# For models whose calibration does not say where its scores lie.
_SCORES: Mapping[ScoreMetric, tuple[float, ...]] = {
    ScoreMetric.SIGMOID_SIMILARITY: _TENTHS,
    ScoreMetric.EXPONENTIAL_SIMILARITY: _TENTHS,
    ScoreMetric.COSINE_SIMILARITY: (*(-tenth for tenth in reversed(_TENTHS)), 0.0, *_TENTHS),
    ScoreMetric.EUCLIDEAN_DISSIMILARITY: (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
}
_LABELS = ("model", "version")
_MOST_RETIRED = 100

Key = tuple[str, str]


@dataclass(eq=False)
class _Counts:
    """A histogram: `counts[i]` values lie above `edges[i - 1]` and up to `edges[i]`."""

    edges: tuple[float, ...]
    counts: npt.NDArray[np.int64] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) + 1, dtype=np.int64)

    def add(self, values: Floats) -> None:
        places = np.searchsorted(self.edges, values, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.total += float(values.sum())

    def copy(self) -> "_Counts":
        copied = _Counts(self.edges)
        copied.counts[:] = self.counts
        copied.total = self.total
        return copied

    def buckets(self) -> list[tuple[str, float]]:
        names = [*map(repr, self.edges), "+Inf"]
        return list(zip(names, map(float, np.cumsum(self.counts)), strict=True))


def _serve(table: dict[Key, _Counts], edges: Mapping[Key, tuple[float, ...]]) -> None:
    """Begins to count what is new, and goes on with the rest, unless its buckets are others now."""
    for key, ends in edges.items():
        # To the end, so that what was retired comes first, the longest ago before all others.
        before = table.pop(key, None)
        table[key] = before if before is not None and before.edges == ends else _Counts(ends)
    retired = [key for key in table if key not in edges]
    for key in retired[: max(0, len(retired) - _MOST_RETIRED)]:
        del table[key]


class Distributions(Collector):
    """Of the models that answer now, and the counts of the last hundred that did.

    Of several processes, one after the other takes up a new version. Were the counts of the old one
    gone with it, their sum would fall, and Prometheus would count what is left as new.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._scores: dict[Key, _Counts] = {}
        self._typicality: dict[Key, _Counts] = {}
        self._models: dict[Key, tuple[Manifest, Typicality | None]] = {}

    def serve(self, models: Iterable[tuple[Manifest, Typicality | None]]) -> None:
        """Replaces the models that answer now.

        A version that stays, or comes again, keeps its counts, if its buckets do.
        """
        with self._lock:
            self._models = {
                (manifest.name, str(manifest.version)): (manifest, typicality)
                for manifest, typicality in models
            }
            _serve(
                self._scores,
                {key: _edges(manifest) for key, (manifest, _) in self._models.items()},
            )
            _serve(
                self._typicality,
                {
                    key: TYPICALITY
                    for key, (_, typicality) in self._models.items()
                    if typicality is not None
                },
            )

    def scores(self, manifest: Manifest, values: Floats) -> None:
        """Records scores that a model gave, (N,)."""
        self._add(self._scores, manifest, values)

    def typicality(self, manifest: Manifest, values: Floats) -> None:
        """Records how typical images were that a model was asked about, (N,)."""
        self._add(self._typicality, manifest, values)

    def collect(self) -> Iterable[Metric]:
        """What a scrape sees, as `prometheus_client` asks for it."""
        # Who takes what is yielded has all the time it wants, and whoever answers must not wait.
        with self._lock:
            scores = {key: counts.copy() for key, counts in self._scores.items()}
            typicality = {key: counts.copy() for key, counts in self._typicality.items()}
            models = dict(self._models)
        yield _histogram(
            "twinlens_score", "Scores given, in the unit of the model's metric.", scores
        )
        yield _histogram(
            "twinlens_typicality",
            "How typical images were of the model's own kind, 0 to 1.",
            typicality,
        )
        yield from _expected(models)

    def _add(self, table: dict[Key, _Counts], manifest: Manifest, values: Floats) -> None:
        with self._lock:
            counts = table.get((manifest.name, str(manifest.version)))
            # A request may outlast its version by as many others as are remembered.
            if counts is not None:
                counts.add(values)


def _edges(manifest: Manifest) -> tuple[float, ...]:
    known = manifest.calibration.distribution if manifest.calibration is not None else None
    return known.scores if known is not None else _SCORES[manifest.metric]


def _histogram(name: str, description: str, table: Mapping[Key, _Counts]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, description, labels=_LABELS)
    for key, counts in table.items():
        family.add_metric(key, counts.buckets(), sum_value=counts.total)
    return family


def _expected(models: Mapping[Key, tuple[Manifest, Typicality | None]]) -> Iterable[Metric]:
    scores = GaugeMetricFamily(
        "twinlens_calibration_score_share",
        "Of the calibration's genuine and impostor pairs, the share that score at most le.",
        labels=(*_LABELS, "kind", "le"),
    )
    shares = GaugeMetricFamily(
        "twinlens_calibration_typicality_share",
        "Of the calibration's images, the share whose typicality is at most le.",
        labels=(*_LABELS, "le"),
    )
    level = GaugeMetricFamily(
        "twinlens_typicality_level",
        "An image is in distribution if its typicality is at least this.",
        labels=_LABELS,
    )
    for key, (manifest, typicality) in models.items():
        known = manifest.calibration.distribution if manifest.calibration is not None else None
        if known is not None:
            for edge, genuine, impostor in zip(
                known.scores, known.genuine, known.impostor, strict=True
            ):
                le = repr(edge)
                scores.add_metric((*key, "genuine", le), genuine)
                scores.add_metric((*key, "impostor", le), impostor)
        if typicality is not None:
            level.add_metric(key, typicality.level)
            own = typicality.calibration_shares(TYPICALITY)
            for edge, share in zip(TYPICALITY, own, strict=True):
                shares.add_metric((*key, repr(edge)), share)
    yield from (scores, shares, level)
