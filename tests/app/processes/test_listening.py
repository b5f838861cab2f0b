import contextlib
import socket

import pytest

from app.processes.listening import bind, can_share_ports, claim, port_of

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")


def test_who_only_holds_the_address_is_sent_no_connection() -> None:
    (held,) = bind("127.0.0.1", 0)
    port = port_of([held])
    (listening,) = bind("127.0.0.1", port)
    with held, listening:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        listening.listen()
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                listening.setblocking(True)
                listening.settimeout(5)
                listening.accept()[0].close()


def test_several_listen_and_each_is_sent_connections() -> None:
    (held,) = bind("127.0.0.1", 0)
    port = port_of([held])
    (one,), (two,) = bind("127.0.0.1", port), bind("127.0.0.1", port)
    with held, one, two:
        for listening in (one, two):
            listening.listen(100)
        connections = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(60)]
        accepted = [0, 0]
        for place, listening in enumerate((one, two)):
            with contextlib.suppress(BlockingIOError):
                while True:
                    listening.accept()[0].close()
                    accepted[place] += 1
        for connection in connections:
            connection.close()
    assert sum(accepted) == 60
    assert min(accepted) > 0


def test_a_name_with_several_addresses_gets_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")
        ]
        # Nor is there a socket for each family of addresses.
        return [(250, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)), *addresses]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    sockets = bind("twins", 0)
    try:
        names = [made.getsockname() for made in sockets]
        assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in names}) == 1
    finally:
        for made in sockets:
            made.close()


def test_an_address_that_another_listens_on_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        bind("127.0.0.1", taken.getsockname()[1])


def test_an_address_is_claimed_by_one_service_until_that_has_ended() -> None:
    (held,) = bind("127.0.0.1", 0)
    (other,) = bind("127.0.0.2", port_of([held]))
    (late,) = bind("127.0.0.1", port_of([held]))
    with held, other, late:
        (claimed,) = claim([held])
        with claimed, pytest.raises(OSError, match="in use"):
            claim([other, late])
        for again in claim([other, late]):
            again.close()


def test_no_name_is_every_address() -> None:
    sockets = bind("", 0)
    try:
        assert "0.0.0.0" in {made.getsockname()[0] for made in sockets}
    finally:
        for made in sockets:
            made.close()


def test_an_address_of_ipv6_leaves_ipv4_to_others() -> None:
    try:
        (made,) = bind("::", 0)
    except OSError:
        pytest.skip("needs IPv6")
    with made:
        made.listen()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of([made])), timeout=5)


def test_of_several_addresses_none_is_kept_if_one_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[socket.socket] = []

    class Made(socket.socket):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            made.append(self)

    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.1", "127.0.0.2")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        monkeypatch.setattr(socket, "socket", Made)
        with pytest.raises(OSError, match="in use"):
            bind("twins", port)
    assert [each.fileno() for each in made] == [-1, -1]
