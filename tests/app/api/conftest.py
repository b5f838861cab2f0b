"""A service with small limits, and an engine of it that a test can stop."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.inference.catalogue import LoadedModel
from tests.app.api.problems import pair
from tests.app.material import MeanEngine, picture
from tests.app.serving import Running, in_thread, metric, wait_until


@pytest.fixture(scope="module")
def small(store: Path) -> Iterator[Running]:
    with in_thread(
        store,
        store_poll_seconds=0,
        max_body_bytes=100_000,
        max_many_body_bytes=200_000,
        max_candidates=2000,
        queue_bytes=250_000,
        slow_client_seconds=0.3,
        queue_images=4,
        max_images=4,
        request_timeout=20,
    ) as running:
        yield running


@pytest.fixture
def engine(small: Running) -> Iterator[MeanEngine]:
    """An engine behind the default model that the test can stop."""
    before = small.service.catalogue
    old = before.models["tiny"]
    engine = MeanEngine()
    model = LoadedModel(old.manifest, old.network, engine)
    small.service._library._catalogue = replace(before, models={**before.models, "tiny": model})
    yield engine
    engine.gate.set()
    wait_until(lambda: metric(small, "twinlens_queue_images") == 0)
    small.service._library._catalogue = before


@pytest.fixture
def others_are_served(client: httpx.Client) -> Iterator[None]:
    """Whatever a test sends, the next one's images are compared."""
    yield
    assert pair(client, picture(2)).status_code == 200
