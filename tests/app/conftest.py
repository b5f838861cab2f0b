"""One store and one server for most tests of the service."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.material import fill_store
from tests.app.serving import Running, in_thread


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    fill_store(root)
    return root


@pytest.fixture(scope="session")
def server(store: Path) -> Iterator[Running]:
    with in_thread(
        store,
        store_poll_seconds=0,
        max_body_bytes=2_000_000,
        max_image_bytes=1_000_000,
        max_images=16,
        cache_bytes=1_000_000,
    ) as running:
        yield running


@pytest.fixture
def client(server: Running) -> httpx.Client:
    return server.client
