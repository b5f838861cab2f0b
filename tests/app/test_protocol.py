"""What is sent over a connection, byte by byte, and what comes back over it."""

import contextlib
import gc
import itertools
import socket
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from tests.app.material import DIMENSION, picture
from tests.app.serving import (
    CHUNKED,
    LIVE,
    Running,
    answer_of,
    compare_body,
    half_request,
    in_thread,
    metric,
    wait_until,
)


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Running]:
    with in_thread(store, store_poll_seconds=0, slow_client_seconds=0.5) as running:
        yield running


@dataclass
class Answer:
    """One answer of those that came over a connection."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """A connection of which nothing is hidden."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        # Each piece is to go out when it is sent.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self._received.close()
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self) -> Answer:
        status = int(self._received.readline().split()[1])
        headers = {}
        while line := self._received.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name] = value
        return Answer(status, headers, self._received.read(int(headers[b"content-length"])))

    def ended(self) -> bool:
        """Whether the server has closed it, and sent nothing before."""
        try:
            return self._received.read(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.port) as client:
        yield client


def rejections(server: Running) -> dict[str, float]:
    """By slug, of what never became a request."""
    slugs = ("malformed-request", "headers-too-large", "headers-too-slow")
    return {slug: metric(server, "twinlens_rejections_total", reason=slug) for slug in slugs}


def check_refusal(client: Client, status: int, slug: str) -> None:
    """Checks that a problem of that kind comes next, and then nothing more."""
    answer = client.answer()
    assert answer.status == status, answer
    assert answer.headers[b"content-type"] == b"application/problem+json"
    assert answer.headers[b"connection"] == b"close"
    assert answer.headers[b"x-content-type-options"] == b"nosniff"
    content = orjson.loads(answer.body)
    assert set(content) == {"type", "title", "status", "detail", "request_id"}
    assert content["type"] == f"urn:twinlens:problem:{slug}"
    assert content["status"] == status
    assert content["request_id"].encode() == answer.headers[b"x-request-id"]
    assert client.ended()


MALFORMED = {
    "no method": b"HELLO /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no header": b"GET /livez HTTP/1.1\r\nHo st: x\r\n\r\n",
    "two lengths": b"POST /embed HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length and chunks": CHUNKED.removesuffix(b"\r\n") + b"Content-Length: 2000000\r\n\r\n",
    "no authority": b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET http://127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no ASCII": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a chunk without a length": CHUNKED + b"what\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_is_answered_with_a_problem(client: Client, sent: bytes) -> None:
    client.send(sent)
    check_refusal(client, 400, "malformed-request")


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_was_asked_before_is_answered_first(client: Client, sent: bytes) -> None:
    body, kind = compare_body(picture(1), picture(2))
    head = f"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    client.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body + LIVE + sent)
    answer = client.answer()
    assert answer.status == 200
    assert b'"score"' in answer.body
    assert client.answer().body == b'{"status":"alive"}'
    check_refusal(client, 400, "malformed-request")


def test_what_is_no_request_counts_as_rejected_by_what_it_was_answered(server: Running) -> None:
    before = rejections(server)
    for sent, answer in (
        (b"HELLO\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 66_000 + b"\r\n\r\n", b"HTTP/1.1 431"),
        (b"GET / HTTP/1.1\r\nHost:", b"HTTP/1.1 408"),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(sent)
            assert answer_of(connection).startswith(answer)
    assert rejections(server) == {slug: count + 1 for slug, count in before.items()}


LONG = b"X-Long: " + b"a" * 65_600
MANY = b"".join(b"%03d: %b\r\n" % (n, b"a" * 540) for n in range(120))
FEW = b"a:\r\n" * 127
TOO_LARGE = {
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\n" + LONG + b"\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nHost: x\r\n" + LONG,
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + MANY + b"\r\n",
    "one header too many": b"GET / HTTP/1.1\r\nHost: x\r\nb:\r\n" + FEW + b"\r\n",
    "a long target": b"GET /" + LONG[10:] + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of percent signs": b"GET /livez?" + b"%" * 1_025 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long trailer": CHUNKED + b"2\r\nab\r\n0\r\n" + LONG + b"\r\n\r\n",
    "many trailers": CHUNKED + b"0\r\n" + MANY + b"\r\n",
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("step", [1 << 20, 8_000], ids=["at once", "in pieces"])
def test_headers_and_trailers_over_the_limit_are_refused(
    client: Client, sent: bytes, step: int
) -> None:
    client.send(*(sent[start : start + step] for start in range(0, len(sent), step)))
    check_refusal(client, 431, "headers-too-large")


def test_as_many_headers_as_the_limit_are_taken(client: Client) -> None:
    for _ in range(2):
        client.send(LIVE[:-2] + FEW + b"\r\n")
        assert client.answer().status == 200


def test_a_target_with_as_many_percent_signs_as_the_limit_is_taken(client: Client) -> None:
    client.send(LIVE.replace(b"/livez", b"/livez?" + b"%" * 1_024))
    assert client.answer().status == 200


def test_cookies_are_not_parsed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr("starlette.requests.cookie_parser", lambda text: parsed.append(text) or {})
    cookies = b'Cookie: a=1\r\ncOOKIE: a="' + b"\\" * 60_000 + b'"\r\n'
    for offer in (b"", H2C):
        client.send(LIVE[:-2] + cookies + offer + b"\r\n")
        assert client.answer().status == 200
    assert not parsed


def test_a_trailer_without_end_is_hung_up_on(client: Client) -> None:
    client.send(CHUNKED + b"2\r\nab\r\n0\r\nX-Long: ")
    with pytest.raises(ConnectionError):
        client.send(*itertools.repeat(b"a" * 10_000, 1_000_000))


def test_trailers_are_no_headers_and_the_connection_goes_on(client: Client) -> None:
    image = picture(1)
    chunks = b"%x\r\n%b\r\n0\r\nX-Request-ID: mine\r\nX-Sum: 1\r\n\r\n" % (len(image), image)
    client.send(CHUNKED + chunks + LIVE)
    answer = client.answer()
    assert answer.status == 200
    assert answer.headers[b"x-request-id"] != b"mine"
    assert client.answer().status == 200


def test_a_body_is_not_taken_for_the_headers_behind_it(client: Client) -> None:
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    body = bytes(200_000)
    client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body + LIVE[:20], LIVE[20:])
    assert client.answer().status == 415
    assert client.answer().status == 200


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t "])
@pytest.mark.parametrize("length", [b"0", b"00", b"5", b"005"])
def test_a_length_may_have_blanks_behind_it(client: Client, length: bytes, blank: bytes) -> None:
    client.send(LIVE[:-2] + b"Content-Length: " + length + blank + b"\r\n\r\n", bytes(int(length)))
    assert client.answer().status == 200
    client.send(LIVE)
    assert client.answer().status == 200


def test_headers_that_do_not_come_in_time(client: Client) -> None:
    client.send(LIVE, LIVE[:20])
    assert client.answer().status == 200
    check_refusal(client, 408, "headers-too-slow")


H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
WEBSOCKET = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
VECTORS = orjson.dumps({"query": [1.0] * DIMENSION, "candidates": [[1.0] * DIMENSION] * 2})
LENGTH = b"Content-Length: %d\r\n" % len(VECTORS)


def many(headers: bytes, version: bytes = b"1.1") -> bytes:
    """The head of a request whose body are the vectors."""
    line = b"POST /compare/many HTTP/%b\r\n" % version
    return line + b"Host: x\r\nContent-Type: application/json\r\n" + headers + b"\r\n"


def check_ranked(client: Client) -> None:
    answer = client.answer()
    assert answer.status == 200, answer
    assert len(orjson.loads(answer.body)["results"]) == 2


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
def test_a_request_that_offers_another_protocol_is_answered_as_any_other(
    client: Client, offer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head = many(offer + LENGTH)
    for cut in range(1, len(head)):
        client.send(head[:cut], head[cut:] + VECTORS)
        check_ranked(client)
    client.send(head + VECTORS)
    check_ranked(client)
    client.send(head, VECTORS[:10], VECTORS[10:])
    check_ranked(client)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(VECTORS), VECTORS)
    client.send(many(offer + b"Transfer-Encoding: chunked\r\n") + chunks)
    check_ranked(client)
    client.send(LIVE)
    assert client.answer().body == b'{"status":"alive"}'
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_requests_that_offer_another_protocol_may_come_one_behind_the_other(
    client: Client,
) -> None:
    client.send((many(H2C + LENGTH) + VECTORS + LIVE) * 3)
    for _ in range(3):
        check_ranked(client)
        assert client.answer().body == b'{"status":"alive"}'


@pytest.mark.parametrize(
    "head",
    [
        many(b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n" + LENGTH),
        many(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH, version=b"1.0"),
    ],
    ids=["close", "HTTP/1.0"],
)
def test_the_last_request_of_a_connection_may_offer_another_protocol(
    client: Client, head: bytes
) -> None:
    client.send(head + VECTORS)
    check_ranked(client)
    assert client.ended()


def test_what_is_wrong_with_a_request_is_said_whatever_it_offers(client: Client) -> None:
    client.send(LIVE + LIVE.replace(b"/livez", b"http://[").replace(b"Host: x\r\n", H2C))
    assert client.answer().status == 200
    check_refusal(client, 400, "malformed-request")


def test_requests_may_be_sent_in_a_row_up_to_a_limit(client: Client) -> None:
    """The first is in work, and 256 wait."""
    for _ in range(2):
        client.send(LIVE * 257)
        assert {client.answer().status for _ in range(257)} == {200}
    client.send(LIVE * 1000)
    assert {client.answer().status for _ in range(257)} == {200}
    check_refusal(client, 400, "malformed-request")


def test_the_last_request_of_a_row_may_still_be_on_its_way(client: Client) -> None:
    client.send(LIVE * 2 + many(LENGTH) + VECTORS[:10])
    assert {client.answer().status for _ in range(2)} == {200}
    client.send(VECTORS[10:] + LIVE)
    check_ranked(client)
    assert client.answer().status == 200


def test_of_too_many_connections_the_one_that_was_idle_for_longest_is_closed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.most_connections", lambda: 5)
    body, kind = compare_body(picture(1), picture(2))
    with (
        # It has one connection itself, which is the first.
        in_thread(store, store_poll_seconds=0) as server,
        half_request(server.port, body, kind) as in_work,
        contextlib.ExitStack() as open_ones,
    ):

        def another() -> Client:
            client = open_ones.enter_context(Client(server.port))
            client.send(LIVE)
            assert client.answer().status == 200
            return client

        asking, beginning, refused = another(), another(), another()
        refused.send(CHUNKED.replace(b"Host: x", b"Content-Encoding: br"))
        assert refused.answer().status == 415
        asking.send(LIVE)
        assert asking.answer().status == 200
        beginning.send(LIVE[:20])
        another()
        another()
        assert refused.ended(), "nobody works on what it is to send yet"
        another()
        assert asking.ended()
        beginning.send(LIVE[20:])
        assert beginning.answer().status == 200
        for _ in range(3):
            another()
        silent = [open_ones.enter_context(Client(server.port)) for _ in range(20)]
        assert beginning.ended()
        assert all(client.ended() for client in silent[:16])
        assert server.client.get("/livez").status_code == 200
        in_work.sendall(body)
        assert answer_of(in_work).startswith(b"HTTP/1.1 200")


def test_a_connection_that_is_refused_does_not_wait_for_the_garbage_collector(
    server: Running,
) -> None:
    connections = server.server.server_state.connections
    gc.disable()
    try:
        before = set(connections)
        with Client(server.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            wait_until(lambda: len(connections - before) == 1)
            gone = weakref.ref((connections - before).pop())
            client.send(b"X: " + b"x" * 66_000 + b"\r\n\r\n")
            assert client.answer().status == 431
        wait_until(lambda: gone() is None, 5)
    finally:
        gc.enable()
