"""Merging, worked by hand."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import Metrics
from app.processes.exposition import merge, without
from model_store import ModelStore

ONE = """\
# HELP process_start_time_seconds Start.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1700000000.5
# HELP process_cpu_seconds_total CPU.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.5
# HELP process_max_fds Most.
# TYPE process_max_fds gauge
process_max_fds 1024.0
# HELP python_info Platform.
# TYPE python_info gauge
python_info{version="3.11.7"} 1.0
# HELP twinlens_requests_total Answered; "so" they say.
# TYPE twinlens_requests_total counter
twinlens_requests_total{route="/compare",status="200"} 3.0
twinlens_requests_total{route="/compare",status="400"} 1.0
# HELP twinlens_requests_created Answered; "so" they say.
# TYPE twinlens_requests_created gauge
twinlens_requests_created{route="/compare",status="200"} 1700000010.0
twinlens_requests_created{route="/compare",status="400"} 1700000020.0
# HELP twinlens_request_seconds Time.
# TYPE twinlens_request_seconds histogram
twinlens_request_seconds_bucket{le="0.1",route="/compare"} 2.0
twinlens_request_seconds_bucket{le="+Inf",route="/compare"} 4.0
twinlens_request_seconds_count{route="/compare"} 4.0
twinlens_request_seconds_sum{route="/compare"} 0.75
# HELP twinlens_queue_images Waiting.
# TYPE twinlens_queue_images gauge
twinlens_queue_images 5.0
# HELP twinlens_ready Ready.
# TYPE twinlens_ready gauge
twinlens_ready 1.0
# HELP twinlens_model_version Version.
# TYPE twinlens_model_version gauge
twinlens_model_version{model="a\\"b"} 3.0
# HELP twinlens_typicality_level Level.
# TYPE twinlens_typicality_level gauge
twinlens_typicality_level{model="tiny"} 0.05
"""

TWO = """\
# HELP process_start_time_seconds Start.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1700000100.0
# HELP process_cpu_seconds_total CPU.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 0.25
# HELP process_max_fds Most.
# TYPE process_max_fds gauge
process_max_fds 512.0
# HELP python_info Platform.
# TYPE python_info gauge
python_info{version="3.11.7"} 1.0
# HELP twinlens_requests_total Answered; "so" they say.
# TYPE twinlens_requests_total counter
twinlens_requests_total{status="200",route="/compare"} 10.0
twinlens_requests_total{route="/embed",status="200"} 7.0
# HELP twinlens_requests_created Answered; "so" they say.
# TYPE twinlens_requests_created gauge
twinlens_requests_created{route="/compare",status="200"} 1700000005.0
twinlens_requests_created{route="/embed",status="200"} 1700000030.0
# HELP twinlens_request_seconds Time.
# TYPE twinlens_request_seconds histogram
twinlens_request_seconds_bucket{le="0.1",route="/compare"} 10.0
twinlens_request_seconds_bucket{le="+Inf",route="/compare"} 10.0
twinlens_request_seconds_count{route="/compare"} 10.0
twinlens_request_seconds_sum{route="/compare"} 0.25
# HELP twinlens_queue_images Waiting.
# TYPE twinlens_queue_images gauge
twinlens_queue_images 2.0
# HELP twinlens_ready Ready.
# TYPE twinlens_ready gauge
twinlens_ready 0.0
# HELP twinlens_model_version Version.
# TYPE twinlens_model_version gauge
twinlens_model_version{model="a\\"b"} 2.0
# HELP twinlens_typicality_level Level.
# TYPE twinlens_typicality_level gauge
twinlens_typicality_level{model="tiny"} 0.05
# HELP twinlens_batch_limit_images Limit.
# TYPE twinlens_batch_limit_images gauge
twinlens_batch_limit_images{model="tiny"} 8.0
"""

BOTH = """\
# HELP process_start_time_seconds Start.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7000000005e+09
# HELP process_cpu_seconds_total CPU.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.75
# HELP process_max_fds Most.
# TYPE process_max_fds gauge
process_max_fds 512.0
# HELP python_info Platform.
# TYPE python_info gauge
python_info{version="3.11.7"} 1.0
# HELP twinlens_requests_total Answered; "so" they say.
# TYPE twinlens_requests_total counter
twinlens_requests_total{route="/compare",status="200"} 13.0
twinlens_requests_total{route="/compare",status="400"} 1.0
twinlens_requests_total{route="/embed",status="200"} 7.0
# HELP twinlens_requests_created Answered; "so" they say.
# TYPE twinlens_requests_created gauge
twinlens_requests_created{route="/compare",status="200"} 1.700000005e+09
twinlens_requests_created{route="/compare",status="400"} 1.70000002e+09
twinlens_requests_created{route="/embed",status="200"} 1.70000003e+09
# HELP twinlens_request_seconds Time.
# TYPE twinlens_request_seconds histogram
twinlens_request_seconds_bucket{le="0.1",route="/compare"} 12.0
twinlens_request_seconds_bucket{le="+Inf",route="/compare"} 14.0
twinlens_request_seconds_count{route="/compare"} 14.0
twinlens_request_seconds_sum{route="/compare"} 1.0
# HELP twinlens_queue_images Waiting.
# TYPE twinlens_queue_images gauge
twinlens_queue_images 7.0
# HELP twinlens_ready Ready.
# TYPE twinlens_ready gauge
twinlens_ready 0.0
# HELP twinlens_model_version Version.
# TYPE twinlens_model_version gauge
twinlens_model_version{model="a\\"b"} 2.0
# HELP twinlens_typicality_level Level.
# TYPE twinlens_typicality_level gauge
twinlens_typicality_level{model="tiny"} 0.05
# HELP twinlens_batch_limit_images Limit.
# TYPE twinlens_batch_limit_images gauge
twinlens_batch_limit_images{model="tiny"} 8.0
"""


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_kind_by_its_rule() -> None:
    assert merge([ONE, TWO]) == BOTH


def test_merging_again_changes_nothing() -> None:
    assert merge([BOTH]) == BOTH


def test_only_what_grows_is_taken_from_who_is_silent() -> None:
    silent = values(merge([ONE], [TWO]))
    grows = ("_total", "_created", "_bucket", "_sum", "_count")
    for key, value in values(ONE).items():
        if key[0].endswith(grows):
            assert silent[key] == values(BOTH)[key]
        else:
            assert silent[key] == value
    assert silent["twinlens_requests_total", (("route", "/embed"), ("status", "200"))] == 7
    assert not any(name == "twinlens_batch_limit_images" for name, _ in silent)


def test_what_a_real_service_says_keeps_its_help_and_types() -> None:
    metrics = Metrics()
    metrics.request("/compare", "POST", 200, 0.02)
    metrics.stage("device", 0.5)
    text = metrics.exposition().decode()
    merged = merge([text])
    assert merged.splitlines() == text.splitlines()
    doubled = values(merge([text, text]))
    assert doubled["twinlens_stage_seconds_sum", (("stage", "device"),)] == 1.0


def test_no_sum_falls_while_one_process_after_the_other_takes_up_a_new_version() -> None:
    store = ModelStore()
    old, typicality = store.manifest("glyphs"), store.load("glyphs").typicality
    new = old.model_copy(update={"version": 2})
    front_ends = (Metrics(), Metrics())
    for each in front_ends:
        each.distributions.serve([(old, typicality)])
        each.distributions.scores(old, np.full(10, 0.5))
        each.distributions.typicality(old, np.full(10, 0.5))
    merged = [values(merge([each.exposition().decode() for each in front_ends]))]
    for switching in front_ends:
        switching.distributions.serve([(new, typicality)])
        merged.append(values(merge([each.exposition().decode() for each in front_ends])))
    parts = ("_bucket", "_count", "_sum")
    grown = {key: value for key, value in merged[0].items() if key[0].endswith(parts)}
    labels = (("model", "glyphs"), ("version", "1"))
    assert grown["twinlens_score_count", labels] == grown["twinlens_typicality_count", labels] == 20
    for later in merged:
        assert {key: later.get(key) for key in grown} == grown


def test_what_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match="wrong"):
        merge([ONE, "twinlens_ready wrong\n"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("process_max_fds", 0.25),
        ("process_open_fds", 0.75),
        ("process_resident_memory_bytes", 1.0),
        ("twinlens_batch_limit_images", 0.25),
        ("twinlens_model_version", 0.25),
        ("twinlens_ready", 0.25),
        ("twinlens_api_keys_stale", 0.75),
        ("twinlens_calibration_score_share", 0.75),
        ("twinlens_calibration_typicality_share", 0.75),
        ("twinlens_typicality_level", 0.75),
        ("twinlens_versions_refused", 0.75),
        ("twinlens_cache_bytes", 1.0),
    ],
)
def test_states_are_not_added_up_and_amounts_are(name: str, expected: float) -> None:
    one, two = (f"# TYPE {name} gauge\n{name} {value}\n" for value in (0.25, 0.75))
    assert values(merge([one, two])) == values(merge([two, one])) == {(name, ()): expected}


def test_a_gauge_is_left_out_whole_and_alone() -> None:
    whole = merge([ONE, TWO])
    left = without(whole, "twinlens_ready")
    assert set(values(whole)) - set(values(left)) == {("twinlens_ready", ())}
    assert "twinlens_ready" not in left
    assert without(left, "twinlens_queue") == left
    # Nobody else's is lost by it.
    assert values(merge([ONE, left]))["twinlens_ready", ()] == 1
