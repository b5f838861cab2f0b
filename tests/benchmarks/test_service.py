import json
from pathlib import Path

import pytest

from benchmarks.service import DIRECTLY, MODEL, medians, server, shown
from model_store import ModelStore
from tests.app.material import network


def test_it_answers_with_the_model_that_others_have_whatever_the_store_says(
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path)
    for name in (MODEL, "another"):
        store.save(name, network())
    store.set_default("another")
    with (
        server(model_store=str(tmp_path), engine="torch") as service,
        DIRECTLY.open(f"http://127.0.0.1:{service.port}/models") as answer,
    ):
        assert json.load(answer)["default"] == MODEL


def found(rate: float, latency: float | None, failures: int = 0) -> dict[str, object]:
    failed = {"503": failures} if failures else {}
    return {"rate": rate, "latency": latency, "failures": failed, "overdue": failures}


def test_medians_by_hand() -> None:
    rounds = [found(3, 6.0), found(1, 2.0, failures=2), found(2, 4.0, failures=4)]
    expected = {"rate": 2, "latency": 4.0, "failures": 6, "overdue": 6}
    assert medians(rounds, ("rate", "latency")) == expected


def test_a_round_without_any_answer_took_longer_than_any() -> None:
    silent, slow = found(0, None), found(5, 900.0)
    assert medians([silent, silent, slow], ("latency",))["latency"] is None
    assert medians([silent, slow], ("latency",))["latency"] is None
    assert medians([silent, slow, slow], ("latency",))["latency"] == 900
    assert (shown(None, 1), shown(900.04, 1)) == ("∞", "900.0")


def test_a_service_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(SystemExit, match=r"become ready.*\n.*TWINLENS_DEVICE.*toaster"),
        server(device="toaster"),
    ):
        pass
