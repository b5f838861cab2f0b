import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import Metrics
from model_store.calibration import Calibration, ScoreDistribution
from model_store.manifest import Manifest, WeightsFile
from tests.app.material import CALIBRATION, network
from tests.model_store.test_typicality import description

DISTRIBUTION = ScoreDistribution(
    scores=(-0.5, 0.25, 0.75), genuine=(0.0, 0.1, 0.5), impostor=(0.2, 0.9, 1.0)
)


def manifest(version: int = 1, calibration: Calibration | None = None) -> Manifest:
    made = network()
    return Manifest(
        name="tiny",
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        network=made.spec,
        preprocessing=made.preprocessing,
        metric=made.comparator.metric,
        symmetric=True,
        dimension=made.dimension,
        weights=WeightsFile(sha256="0" * 64, bytes=1, parameters=1),
        calibration=calibration,
    )


def scraped(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """By sample name, version and `le` (with the kind before it), of the one model there is."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (
            sample.name,
            sample.labels["version"],
            sample.labels.get("kind", "") + sample.labels.get("le", ""),
        ): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("model") == "tiny"
    }


def test_scores_are_counted_in_the_calibrations_own_buckets() -> None:
    metrics = Metrics()
    known = manifest(calibration=CALIBRATION.model_copy(update={"distribution": DISTRIBUTION}))
    metrics.distributions.serve([(known, None)])
    metrics.distributions.scores(known, np.array([-0.6, -0.5, 0.0, 0.8, 0.9]))
    found = scraped(metrics)
    counts = [found["twinlens_score_bucket", "1", le] for le in ("-0.5", "0.25", "0.75", "+Inf")]
    assert counts == [2, 3, 3, 5]
    expected = [
        found["twinlens_calibration_score_share", "1", kind + le]
        for kind in ("genuine", "impostor")
        for le in ("-0.5", "0.25", "0.75")
    ]
    assert expected == [0.0, 0.1, 0.5, 0.2, 0.9, 1.0]


def test_what_is_scraped_holds_up_nobody_who_counts() -> None:
    metrics = Metrics()
    metrics.distributions.serve([(manifest(), None)])
    scraping = iter(metrics.distributions.collect())
    next(scraping)
    counting = threading.Thread(
        target=metrics.distributions.scores, args=(manifest(), np.array([0.1])), daemon=True
    )
    counting.start()
    counting.join(1)
    assert not counting.is_alive()
    assert scraped(metrics)["twinlens_score_bucket", "1", "+Inf"] == 1


def test_typicality_is_counted_beside_the_calibrations_own() -> None:
    metrics = Metrics()
    metrics.distributions.serve([(manifest(), description())])
    metrics.distributions.typicality(manifest(), np.array([0.0005, 0.02, 0.5, 1.0]))
    found = scraped(metrics)
    counts = [
        found["twinlens_typicality_bucket", "1", le] for le in ("0.001", "0.02", "0.9", "+Inf")
    ]
    assert counts == [1, 2, 3, 4]
    assert found["twinlens_typicality_sum", "1", ""] == pytest.approx(1.5205)
    assert found["twinlens_typicality_level", "1", ""] == 0.02
    for le in ("0.02", "0.1", "0.5", "0.9"):
        share = found["twinlens_calibration_typicality_share", "1", le]
        assert share == pytest.approx(float(le), abs=0.025)


def test_a_model_without_either_has_buckets_of_its_metric_and_no_typicality() -> None:
    metrics = Metrics()
    metrics.distributions.serve([(manifest(), None)])
    metrics.distributions.scores(manifest(), np.array([0.35]))
    metrics.distributions.typicality(manifest(), np.array([0.35]))
    found = scraped(metrics)
    assert found["twinlens_score_bucket", "1", "0.3"] == 0
    assert found["twinlens_score_bucket", "1", "0.4"] == 1
    assert not any(name.startswith("twinlens_typicality") for name, _, _ in found)


def test_a_new_version_begins_anew_and_one_that_stays_goes_on() -> None:
    metrics = Metrics()
    metrics.distributions.serve([(manifest(), None)])
    metrics.distributions.scores(manifest(), np.array([0.1]))
    metrics.distributions.serve([(manifest(), None)])
    metrics.distributions.scores(manifest(), np.array([0.2]))
    assert scraped(metrics)["twinlens_score_bucket", "1", "+Inf"] == 2
    metrics.distributions.serve([(manifest(2), None)])
    metrics.distributions.scores(manifest(2), np.array([0.3]))
    assert scraped(metrics)["twinlens_score_bucket", "2", "+Inf"] == 1


def test_what_a_replaced_version_counted_stays_for_its_sum_over_processes_never_to_fall() -> None:
    metrics = Metrics()
    calibrated = CALIBRATION.model_copy(update={"distribution": DISTRIBUTION})
    old = manifest(calibration=calibrated)
    metrics.distributions.serve([(old, description())])
    metrics.distributions.scores(old, np.array([0.1, 0.2]))
    metrics.distributions.typicality(old, np.array([0.5]))
    metrics.distributions.serve([(manifest(2), None)])
    # What was asked before is still answered.
    metrics.distributions.scores(old, np.array([0.3]))
    found = scraped(metrics)
    assert found["twinlens_score_bucket", "1", "+Inf"] == 3
    assert found["twinlens_typicality_bucket", "1", "+Inf"] == 1
    told = {name for name, version, _ in found if version == "1"}
    assert not [name for name in told if "calibration" in name or "level" in name]
    metrics.distributions.serve([(old, description())])
    assert scraped(metrics)["twinlens_score_bucket", "1", "+Inf"] == 3


def test_of_versions_that_were_replaced_the_last_hundred_are_remembered() -> None:
    metrics = Metrics()
    versions = [manifest().model_copy(update={"version": number}) for number in range(1, 104)]
    for version in versions:
        # The first goes on beside the others, and only then is replaced.
        served = {version.version: version, 1: versions[0]}
        metrics.distributions.serve((each, description()) for each in served.values())
    metrics.distributions.serve([(versions[-1], description())])
    found = scraped(metrics)
    for name in ("twinlens_score_bucket", "twinlens_typicality_bucket"):
        told = {int(version) for each, version, _ in found if each == name}
        assert told == {1, *range(4, 104)}


def test_a_version_that_took_anothers_place_begins_anew_where_its_buckets_are_others() -> None:
    metrics = Metrics()
    metrics.distributions.serve([(manifest(), None)])
    metrics.distributions.scores(manifest(), np.array([0.1]))
    known = manifest(calibration=CALIBRATION.model_copy(update={"distribution": DISTRIBUTION}))
    metrics.distributions.serve([(known, None)])
    metrics.distributions.scores(known, np.array([0.2]))
    found = scraped(metrics)
    edges = [le for name, _, le in found if name == "twinlens_score_bucket"]
    assert edges == ["-0.5", "0.25", "0.75", "+Inf"]
    assert found["twinlens_score_bucket", "1", "+Inf"] == 1
