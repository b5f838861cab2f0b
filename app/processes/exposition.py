"""Makes one service's metrics of its processes'."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Key = tuple[str, tuple[tuple[str, str], ...]]

# Of states, one that holds for all of them. Where the least does: who asks whether the service is
# ready, or which version answers, may come to any process.
_LEAST = frozenset(
    {
        "process_max_fds",
        "process_start_time_seconds",
        "twinlens_batch_limit_images",
        "twinlens_model_version",
        "twinlens_ready",
    }
)
# The same everywhere, so that the greatest is any of them; or, of open files, what is to be held
# against the least limit.
_GREATEST = frozenset(
    {
        "process_open_fds",
        "python_info",
        "twinlens_api_keys_stale",
        "twinlens_calibration_score_share",
        "twinlens_calibration_typicality_share",
        "twinlens_typicality_level",
        "twinlens_versions_refused",
    }
)
_CREATED = "_created"
_GROWING = frozenset({"counter", "histogram"})


def merge(answering: Sequence[str], silent: Sequence[str] = ()) -> str:
    """The metrics of several processes as if they were one's.

    Counters and histograms are added up; of gauges, amounts are, and of states the least or the
    greatest is taken.

    Args:
        answering: Expositions, in Prometheus' text format, of processes as they are now.
        silent: Of processes that are gone or do not answer, as they were last known. Only what
            grows is taken from them: without that a sum would fall, which Prometheus takes for a
            restart, after which it counts all that remains as new.

    Returns:
        One exposition with all the metrics and labels that any of them has.

    Raises:
        ValueError: One of them cannot be read.
    """
    merged = _Merged()
    for text in answering:
        merged.add(text_string_to_metric_families(text))
    for text in silent:
        families = text_string_to_metric_families(text)
        merged.add(family for family in families if _grows(family))
    return generate_latest(merged).decode()


def without(exposition: str, name: str) -> str:
    """An exposition, as `merge` gives it, but for one metric that has no labels."""
    return "".join(
        line
        for line in exposition.splitlines(keepends=True)
        if not line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(f"{name} ")
    )


class _Merged(Collector):
    """Families of metrics by name, in the order in which they came."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[Key, float]] = {}

    def add(self, families: Iterable[Metric]) -> None:
        for family in families:
            self._families.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            join = _rule(family)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                known = values.get(key)
                values[key] = sample.value if known is None else join((known, sample.value))

    def collect(self) -> Iterator[Metric]:
        for name, first in self._families.items():
            family = Metric(name, first.documentation, first.type)
            for (sample, labels), value in self._values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family


def _is_created(family: Metric) -> bool:
    """Whether it says since when another family counts, which the text format has as a gauge."""
    return family.type == "gauge" and family.name.endswith(_CREATED)


def _grows(family: Metric) -> bool:
    return family.type in _GROWING or _is_created(family)


def _rule(family: Metric) -> Callable[[tuple[float, float]], float]:
    if family.name in _LEAST or _is_created(family):
        return min
    if family.name in _GREATEST:
        return max
    return sum
