"""One store and one server for most tests of the service, and the page that they serve."""

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from selenium.webdriver import Chrome

from tests.app.browsing import Balancer, Page, forget
from tests.app.material import fill_store, picture
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


@pytest.fixture
def page(browser: Chrome, server: Running) -> Iterator[Page]:
    forget(browser)
    opened = Page(browser, server.port)
    opened.service_is("ready")
    yield opened
    # Refused requests are reported there, too; an error of the script's own never may be.
    errors = [entry["message"] for entry in browser.get_log("browser")]
    assert not [error for error in errors if "Failed to load resource" not in error]


@pytest.fixture
def balanced(browser: Chrome, server: Running) -> Iterator[Page]:
    """The page through `Balancer`, which reaches nothing else yet."""
    Balancer.client = server.client
    Balancer.reached = ()
    with ThreadingHTTPServer(("127.0.0.1", 0), Balancer) as balancer:
        Thread(target=balancer.serve_forever, daemon=True).start()
        yield Page(browser, balancer.server_port)
        browser.get("about:blank")
        balancer.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """To `tiny` the first and the second are different, and the first and the third the same."""
    paths = [tmp_path_factory.mktemp("pictures") / f"picture {place}.png" for place in range(3)]
    for seed, path in zip((1, 3, 2), paths, strict=True):
        path.write_bytes(picture(seed))
    return paths
