"""Who is let in, what answers carry, and what logs never hold."""

import base64
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.observability.logs import JsonFormatter, fields
from app.security import keys
from app.security.keys import Scope, new_key, write_keys
from model_store import ModelStore
from tests.app.material import DIMENSION, fill_store, network, picture
from tests.app.serving import Running, in_thread, metric, wait_until

READ, _READ = new_key("reader")
ADMIN, _ADMIN = new_key("admin", Scope.ADMIN)
SLOW, _SLOW = new_key("slow", images_per_second=0.001)
SPENT, _SPENT = new_key("spent", images_per_second=0.001)
OPEN = ("/livez", "/readyz", "/metrics", "/", "/docs", "/openapi.json", "/static/page.js")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("guarded")
    fill_store(root / "models")
    write_keys(root / "keys.json", (_READ, _ADMIN, _SLOW, _SPENT))
    with in_thread(
        root / "models",
        store_poll_seconds=0,
        api_keys=root / "keys.json",
        cors_origins="https://shop.example, https://other.example",
    ) as running:
        yield running


def embed(running: Running, key: str | None, images: int = 1) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    files = [("images", picture(n)) for n in range(images)]
    return running.client.post("/embed", files=files, headers=headers)


def test_no_key_no_answer(guarded: Running) -> None:
    answer = embed(guarded, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for bad in (READ[:-1], new_key("x")[0], "é".encode().decode("latin-1")):
        headers = {"x-api-key": bad.encode("latin-1")}
        assert guarded.client.get("/models", headers=headers).status_code == 401
    assert guarded.client.get("/nowhere").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "route"),
    [
        ("POST", "/embed", "", 401, "/embed"),
        ("HEAD", "/models", "", 401, "/models"),
        ("POST", "/admin/reload", READ, 403, "/admin/reload"),
        ("POST", "/compare", SPENT, 429, "/compare"),
        ("GET", "/nowhere", "", 401, "other"),
        ("GET", "/compare/many", "", 401, "other"),
    ],
    # Without: keys differ from process to process, and tests may not.
    ids=["no key", "HEAD", "not allowed", "too many", "no such route", "no such method"],
)
def test_what_is_refused_at_the_door_is_counted_where_it_was_asked_for(
    guarded: Running, method: str, path: str, key: str, status: int, route: str
) -> None:
    named = "ANY" if route == "other" else method
    labels = {"route": route, "method": named, "status": str(status)}
    embed(guarded, SPENT)
    before = metric(guarded, "twinlens_requests_total", **labels)
    answer = guarded.client.request(method, path, headers={"x-api-key": key})
    assert answer.status_code == status
    wait_until(lambda: metric(guarded, "twinlens_requests_total", **labels) == before + 1)


def test_the_document_says_how_a_key_is_sent(guarded: Running, client: httpx.Client) -> None:
    document = guarded.client.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            asks = {name for each in operation.get("security", ()) for name in each}
            assert asks == (set() if path in OPEN else set(schemes)), path
            assert ("401" in operation["responses"]) is bool(asks), path
    assert "security" not in document
    assert {"/models", "/models/{name}", "/admin/reload", "/livez"} < document["paths"].keys()
    for scheme in schemes.values():
        sent = (
            {scheme["name"]: READ}
            if scheme["type"] == "apiKey"
            else {"Authorization": f"{scheme['scheme'].title()} {READ}"}
        )
        assert guarded.client.get("/models", headers=sent).status_code == 200
    open_to_all = client.get("/openapi.json").text
    assert "security" not in open_to_all
    assert '"401"' not in open_to_all


def test_the_key_is_asked_for_before_the_body(guarded: Running) -> None:
    answer = guarded.client.post(
        "/embed", content=bytes(50_000_000), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 401


def test_a_key_in_either_header(guarded: Running) -> None:
    assert embed(guarded, READ).status_code == 200
    assert guarded.client.get("/models", headers={"x-api-key": READ}).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ((("x-api-key", READ), ("authorization", "Bearer of-a-proxy")), 200),
        ((("x-api-key", ""), ("authorization", f"Bearer {READ}")), 200),
        ((("x-api-key", ""), ("x-api-key", READ)), 200),
        ((("authorization", "Bearer"), ("authorization", f"bearer {READ}")), 200),
        ((("authorization", "Basic eDp5"), ("x-api-key", READ)), 200),
        ((("authorization", f"Bearer {READ}"), ("x-api-key", "unknown")), 401),
        ((("authorization", "Bearer"), ("x-api-key", "")), 401),
    ],
)
def test_of_two_headers_the_one_made_for_keys_counts_whatever_their_order(
    guarded: Running, sent: tuple[tuple[str, str], ...], status: int
) -> None:
    for headers in (sent, sent[::-1]):
        assert guarded.client.get("/models", headers=list(headers)).status_code == status


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_pages_need_no_key(guarded: Running, path: str) -> None:
    assert guarded.client.get(path).status_code == 200


def test_scopes(guarded: Running) -> None:
    def reload(key: str) -> httpx.Response:
        return guarded.client.post("/admin/reload", headers={"x-api-key": key})

    assert reload(READ).status_code == 403
    ModelStore(guarded.service.settings.model_store).save("new", network(seed=9))
    answer = reload(ADMIN)
    assert answer.status_code == 200
    assert answer.json()["models"]["new"] == 1
    assert "broken/1" in answer.json()["refused"]
    assert embed(guarded, ADMIN).status_code == 200


def test_without_keys_only_loopback_may_administer(store: Path, server: Running) -> None:
    assert server.client.post("/admin/reload").status_code == 200
    with in_thread(store, store_poll_seconds=0, host="0.0.0.0") as everywhere:
        answer = everywhere.client.post("/admin/reload")
        assert answer.status_code == 403
        assert "key create" in answer.json()["detail"]
        assert embed(everywhere, None).status_code == 200


def test_a_rate_holds_for_images(guarded: Running) -> None:
    assert embed(guarded, SLOW, 3).status_code == 200
    answer = embed(guarded, SLOW)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 1000
    assert answer.json()["type"].endswith("rate-limited")
    assert embed(guarded, READ).status_code == 200


def test_a_requests_line_in_the_log_says_what_was_asked_of_which_model(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    image = base64.b64encode(picture(1)).decode()
    row = [1.0] * DIMENSION
    asked: tuple[tuple[str, dict[str, object], dict[str, object]], ...] = (
        ("/embed", {"images": [image] * 3}, {"images": 3}),
        ("/compare", {"image_a": image, "image_b": image}, {"images": 2}),
        ("/compare/many", {"query": row, "candidates": [row] * 4}, {"candidates": 4}),
    )
    for path, body, said in asked:
        caplog.clear()
        answer = server.client.post(path, json={**body, "model": "small"})
        (line,) = [record for record in caplog.records if record.name == "twinlens.request"]
        found = line.twinlens  # type: ignore[attr-defined]
        assert found.pop("seconds") > 0
        assert found == {
            "request_id": answer.headers["x-request-id"],
            "method": "POST",
            "path": path,
            "status": 200,
            "model": "tiny",
            **said,
        }


def test_other_origins(guarded: Running, server: Running) -> None:
    asks = {
        "origin": "https://shop.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    allowed = guarded.client.options("/embed", headers=asks)
    assert allowed.status_code == 200, allowed.text
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    other = guarded.client.get("/livez", headers={"origin": "https://other.example"})
    assert other.headers["access-control-allow-origin"] == "https://other.example"
    # A page may read what an answer's headers say: when to come back, and the shape of embeddings.
    probed = guarded.client.get("/livez", headers={"origin": "https://shop.example"})
    assert probed.headers["access-control-expose-headers"] == "*"
    stranger = guarded.client.options("/embed", headers={**asks, "origin": "https://x.example"})
    assert "access-control-allow-origin" not in stranger.headers
    assert stranger.status_code == 400
    assert stranger.headers["content-type"] == "application/problem+json"
    assert stranger.json()["request_id"] == stranger.headers["x-request-id"]
    assert "TWINLENS_CORS_ORIGINS" in stranger.json()["detail"]
    assert metric(guarded, "twinlens_rejections_total", reason="cross-origin-refused") == 1
    # A page that may ask, and not like this, is told what it may.
    deletes = guarded.client.options(
        "/embed", headers={**asks, "access-control-request-method": "DELETE"}
    )
    assert deletes.status_code == 400
    assert "CORS method" in deletes.json()["detail"]
    assert deletes.headers["access-control-allow-origin"] == "https://shop.example"
    assert deletes.headers["access-control-allow-methods"] == "GET, POST"
    nobody = server.client.get("/models", headers={"origin": "https://shop.example"})
    assert "access-control-allow-origin" not in nobody.headers


@pytest.mark.parametrize("path", ["/models", "/livez", "/nowhere", "/"])
def test_every_answer_carries_the_headers(server: Running, path: str) -> None:
    headers = server.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", True),
        (f"cc-{TRACE}-00f067aa0ba902b7-00-what-the-future-adds", True),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", False),
        ("nonsense", False),
    ],
)
def test_traces_are_taken_up(server: Running, sent: str, *, kept: bool) -> None:
    headers = server.client.get("/livez", headers={"traceparent": sent}).headers
    if not kept:
        assert "traceparent" not in headers
        assert headers["x-request-id"] != TRACE
        return
    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, sent.split("-")[3])
    assert span != "00f067aa0ba902b7"
    assert headers["x-request-id"] == TRACE
    both = {"traceparent": sent, "x-request-id": "mine"}
    assert server.client.get("/livez", headers=both).headers["x-request-id"] == "mine"


def test_logs_hold_neither_keys_nor_images_nor_embeddings(
    guarded: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    image = picture(7)
    auth = {"x-api-key": READ, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    embedding = guarded.client.post(
        "/embed", content=image, headers={**auth, "content-type": "image/png"}
    ).json()["embeddings"][0]
    guarded.client.get(f"/models?key={READ}", headers=auth)
    guarded.client.post("/embed", content=image[:50], headers={**auth, "content-type": "image/png"})
    guarded.client.post("/embed", files={READ: image}, headers=auth)
    guarded.client.post("/compare", json={"image_a": READ, "image_b": "x"}, headers=auth)
    guarded.client.get("/models", headers={"x-api-key": READ[:-1]})
    text = "\n".join(
        JsonFormatter().format(record)
        for record in caplog.records
        # The test's own client; and a log that is off, but for pytest, whose listening turns it on.
        if not record.name.startswith(("http", "uvicorn.access"))
    )
    assert TRACE in text
    assert _READ.id in text
    assert not shows(text, image)
    assert READ.split("_", 2)[2][:20] not in text
    assert str(embedding[0]) not in text


def shows(text: str, image: bytes) -> bool:
    """Whether a log holds a PNG, or its beginning: as characters, base64, hexadecimal, numbers."""
    begin = image[:15]
    ways = (base64.b64encode(begin).decode(), begin.hex(), ",".join(map(str, begin)))
    # JSON has a backslash before each line's end, and before each backslash of a `repr` another.
    escaped = re.search(r"PNG\\+r\\+n", text)
    return escaped is not None or any(way in text.replace(" ", "") for way in ways)


@pytest.mark.parametrize(
    "way",
    [
        str,
        lambda image: image[:50],
        lambda image: image.decode("latin-1"),
        lambda image: base64.b64encode(image).decode(),
        bytes.hex,
        list,
    ],
    ids=["repr", "bytes", "latin-1", "base64", "hex", "numbers"],
)
def test_a_picture_in_a_log_would_be_noticed(way: Callable[[bytes], object]) -> None:
    image = picture(7)
    for message, extra in ((f"decoding {way(image)}", None), ("x", fields(data=way(image)))):
        record = logging.makeLogRecord({"msg": message, **(extra or {})})
        assert shows(JsonFormatter().format(record), image)
    assert not shows(JsonFormatter().format(logging.makeLogRecord({"msg": "decoding"})), image)


def test_keys_that_cannot_be_read_any_more_are_told_to_prometheus(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    fill_store(tmp_path / "models")
    file = tmp_path / "keys.json"
    write_keys(file, (_READ,))
    with in_thread(tmp_path / "models", store_poll_seconds=0, api_keys=file) as running:
        assert embed(running, READ).status_code == 200
        assert "twinlens_api_keys_stale 0.0" in running.client.get("/metrics").text
        file.write_text("{")
        assert embed(running, READ).status_code == 200
        assert "twinlens_api_keys_stale 1.0" in running.client.get("/metrics").text
        # Whether or not anybody comes with a key meanwhile.
        write_keys(file, (_READ,))
        assert "twinlens_api_keys_stale 0.0" in running.client.get("/metrics").text
        file.write_text("{")
        assert "twinlens_api_keys_stale 1.0" in running.client.get("/metrics").text
