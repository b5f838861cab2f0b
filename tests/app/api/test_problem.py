"""Which problem an error is, for programs."""

import httpx
import pytest

from app.inference.errors import EngineFailed
from model_store.errors import StoreError
from tests.app.serving import Running


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("GET", "/nowhere", "not-found"), ("DELETE", "/livez", "method-not-allowed")],
)
def test_what_the_framework_refuses_is_of_a_kind_without_spaces(
    client: httpx.Client, method: str, path: str, kind: str
) -> None:
    assert client.request(method, path).json()["type"] == f"urn:twinlens:problem:{kind}"


@pytest.mark.parametrize(
    ("error", "status", "kind", "said"),
    [
        (MemoryError(), 503, "out-of-memory", "send smaller images"),
        (StoreError("mend it"), 503, "store-unusable", "mend it"),
        (EngineFailed("it broke"), 500, "engine-failed", "it broke"),
    ],
)
def test_what_is_the_services_fault_is_told_and_when_to_come_back(
    server: Running,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    kind: str,
    said: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(server.service, "unready_reason", fail)
    answer = server.client.get("/readyz")
    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:twinlens:problem:{kind}"
    assert said in answer.json()["detail"]
    assert ("retry-after" in answer.headers) is (status == 503)
