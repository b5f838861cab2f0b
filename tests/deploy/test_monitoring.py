"""Rules, dashboard and adapter: what they ask for is what the service tells."""

import asyncio
import re

import pytest
import yaml

from app.inference.service import Service
from app.observability.metrics import Metrics
from app.settings import Settings
from benchmarks.deployment.checks import RARE, queries
from tests.deploy.tools import DEPLOY, tool

RULES = DEPLOY / "prometheus" / "rules" / "twinlens.yml"
TESTS = DEPLOY / "prometheus" / "tests" / "alerts.yml"
ADAPTER = DEPLOY / "kubernetes" / "prometheus-adapter" / "values.yaml"


def alerts() -> list[dict]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def test_prometheus_accepts_its_configuration_and_rules():
    tool("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    tool("promtool", "check", "rules", RULES)


def test_every_alert_fires_for_its_reason_only():
    tool("promtool", "test", "rules", TESTS)
    text = TESTS.read_text()
    assert [rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}"' not in text] == []


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """The names of all metrics of a service."""

    async def names() -> set[str]:
        service = Service(Settings(device="cpu"), Metrics())
        try:
            return {
                name
                for family in service.metrics.registry.collect()
                for name in (
                    (f"{family.name}_total",)
                    if family.type == "counter"
                    else (
                        family.name,
                        *(f"{family.name}_{part}" for part in ("bucket", "sum", "count")),
                    )
                )
            }
        finally:
            await service.close()

    return asyncio.run(names())


def asked() -> list[str]:
    adapter = yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]
    return [
        *(query for _, query in queries()),
        *(rule["expr"] for rule in alerts()),
        *(rule["seriesQuery"] for rule in adapter),
    ]


def unknown(queries: list[str], exposed: set[str]) -> set[str]:
    wanted = {
        name for query in queries for name in re.findall(r"\b(?:twinlens|process)_\w+", query)
    }
    assert wanted
    return wanted - exposed


def test_what_is_asked_for_is_what_the_service_tells(exposed):
    assert unknown(asked(), exposed) == set()


def test_a_metric_that_the_service_does_not_tell_is_found(exposed):
    assert unknown(["rate(twinlens_no_such_total[1m]) or vector(0)"], exposed) == {
        "twinlens_no_such_total"
    }


def test_the_dashboard_asks_something_in_every_panel():
    assert len(list(queries())) > 25
    assert all("$" not in query for _, query in queries())


def test_no_query_of_the_dashboard_makes_up_a_line():
    # Beside series with labels, `or vector(0)` is one more without, always drawn; and what has it
    # always has data, so that `make deploy-check` would not notice a metric that is not there.
    made_up = {title: query for title, query in queries() if "vector(" in query}
    assert set(made_up) <= RARE
    assert [query for query in made_up.values() if re.search(r"\b(by|on) ?\(", query)] == []


def test_scores_are_summed_within_versions():
    # Buckets end where a version's own calibration scored: across versions they are not the same.
    sums = [
        labels
        for query in (*(query for _, query in queries()), *(rule["expr"] for rule in alerts()))
        for labels in re.findall(r"sum by \(([^)]*)\) \(\w+\(twinlens_score_bucket", query)
    ]
    assert sums
    assert all("version" in labels for labels in sums)


def test_what_may_be_silent_is_on_the_dashboard():
    assert {title for title, _ in queries()} >= RARE
