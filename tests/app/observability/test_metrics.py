"""What Prometheus is told of what was recorded."""

import threading
from types import SimpleNamespace

import pytest

from app.observability import metrics as module
from app.observability.metrics import Metrics
from tests.app.inference.batching import value


def test_a_batch_counts_once_with_all_its_images() -> None:
    metrics = Metrics()
    for images in (1, 8, 8):
        metrics.batch("tiny", images, 0.25)
    assert value(metrics, "twinlens_batch_images_count", model="tiny") == 3
    assert value(metrics, "twinlens_batch_images_sum", model="tiny") == 17
    assert value(metrics, "twinlens_batch_images_bucket", model="tiny", le="4.0") == 1
    assert value(metrics, "twinlens_stage_seconds_sum", stage="device") == 0.75


def test_a_request_is_counted_and_timed_by_its_route() -> None:
    metrics = Metrics()
    metrics.request("/embed", "POST", 200, 0.5)
    metrics.request("/embed", "POST", 429, 0.25)
    for status in ("200", "429"):
        labels = {"route": "/embed", "method": "POST", "status": status}
        assert value(metrics, "twinlens_requests_total", **labels) == 1
    assert value(metrics, "twinlens_request_seconds_count", route="/embed") == 2
    assert value(metrics, "twinlens_request_seconds_sum", route="/embed") == 0.75


def test_a_stage_is_timed_also_where_it_fails() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="no"), metrics.timed("decode"):
        raise ValueError("no")
    assert value(metrics, "twinlens_stage_seconds_count", stage="decode") == 1


def test_only_the_models_that_answer_now_have_a_version() -> None:
    metrics = Metrics()
    metrics.model_versions({"one": 1, "two": 5})
    metrics.model_versions({"two": 6})
    assert value(metrics, "twinlens_model_version", model="two") == 6
    assert 'model="one"' not in metrics.exposition().decode()


def test_a_scrape_while_models_are_switched_sees_all_of_them() -> None:
    metrics = Metrics()
    names = [f"model{number}" for number in range(100)]
    metrics.model_versions(dict.fromkeys(names, 1))
    over = threading.Event()

    def switch() -> None:
        while not over.is_set():
            metrics.model_versions(dict.fromkeys(names, 2))

    switching = threading.Thread(target=switch)
    switching.start()
    try:
        told = [metrics.exposition().count(b"twinlens_model_version{") for _ in range(30)]
    finally:
        over.set()
        switching.join()
    assert set(told) == {100}


def test_what_is_mended_and_what_is_not_are_told_apart() -> None:
    metrics = Metrics()
    metrics.engine_rebuilt("tiny", mended=True)
    metrics.engine_rebuilt("tiny", mended=False)
    metrics.engine_rebuilt("tiny", mended=False)
    name = "twinlens_engine_rebuilds_total"
    assert value(metrics, name, model="tiny", result="mended") == 1
    assert value(metrics, name, model="tiny", result="failed") == 2


def test_the_device_is_busy_for_as_long_as_it_was_used_and_as_much_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    metrics = Metrics()
    # Idle for a second, half used for four, wholly for two, and idle again.
    for seconds, load in ((1, 0.5), (4, 1.0), (2, 0.0), (8, 0.0)):
        clock.now += seconds
        metrics.device_load(load)
    assert value(metrics, "twinlens_device_busy_seconds_total") == 4
