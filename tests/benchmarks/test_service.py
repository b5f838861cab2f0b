import json
from pathlib import Path

import pytest

from benchmarks.service import DIRECTLY, MODEL, server
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


def test_a_service_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(SystemExit, match=r"become ready.*\n.*TWINLENS_DEVICE.*toaster"),
        server(device="toaster"),
    ):
        pass
