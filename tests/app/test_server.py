import asyncio
import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import FastAPI

from app.inference.catalogue import Catalogue
from app.observability.metrics import Metrics
from app.protocol import GuardedProtocol
from app.server import CannotListen, DrainingServer, check_address, server_config
from app.settings import Settings


class Ring:
    """Garbage that counting references does not find."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def tick(server: DrainingServer, app: FastAPI, *models: str) -> None:
    catalogue = Catalogue(models=dict.fromkeys(models))  # type: ignore[arg-type]
    app.state.service = SimpleNamespace(catalogue=catalogue, failure=None)
    for _ in range(2):
        asyncio.run(server.on_tick(1))


def test_the_collector_leaves_alone_what_is_there_once_models_are_loaded() -> None:
    app = FastAPI()
    server = DrainingServer(uvicorn.Config(app), drain_seconds=1)
    tick(server, app)
    assert gc.get_freeze_count() == 0, "models are still to come"
    ring = Ring()
    replaced = weakref.ref(ring)
    tick(server, app, "one")
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    del ring
    gc.collect()
    assert replaced() is not None, "it was there, and so it is left alone"
    asyncio.run(server.on_tick(1))
    assert gc.get_freeze_count() <= frozen, "nothing has changed"
    tick(server, app, "one", "two")
    assert replaced() is None, "a model that was replaced goes when another is loaded"
    assert gc.get_freeze_count() > 1000


@pytest.mark.parametrize("host", ["127.0.0..1", "a" * 64])
def test_a_host_that_can_be_no_name_is_refused(host: str) -> None:
    with pytest.raises(CannotListen, match=f"cannot listen on {host}, port 80 .*TWINLENS_HOST"):
        check_address(host, 80)


def test_the_server_listens_and_waits_as_the_settings_say() -> None:
    settings = Settings(host="0.0.0.0", port=1234, slow_client_seconds=3)
    app = FastAPI()
    app.state.metrics = Metrics()
    config = server_config(app, settings)
    assert (config.host, config.port) == ("0.0.0.0", 1234)
    assert isinstance(config.http, type)
    assert issubclass(config.http, GuardedProtocol)
    assert config.http.patience == 3
    # Longer than load balancers keep theirs, so that it is they who close a connection.
    assert config.timeout_keep_alive > 60
    assert not config.server_header
