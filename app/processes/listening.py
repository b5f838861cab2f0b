"""Sockets on one address that several processes listen on, each with its own."""

import platform
import socket


def can_share_ports() -> bool:
    """Whether the system spreads the connections to a port over all who listen on it.

    Others than Linux know SO_REUSEPORT as well, and give every connection to the same process.
    """
    return platform.system() == "Linux" and hasattr(socket, "SO_REUSEPORT")


def bind(host: str, port: int) -> list[socket.socket]:
    """Takes an address without listening on it yet; others may take it too, likewise.

    Until somebody listens, connections to it are refused. A socket that never listens gets none,
    and keeps the address for those who do.

    Args:
        host: Its name or address; a name may stand for several addresses. Empty: every address.
        port: 0 for a free one, the same for all addresses.

    Returns:
        A socket for each address.

    Raises:
        OSError: It cannot be had.
        UnicodeError: The host cannot be a name.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        # A name may give the same address twice.
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                made = socket.socket(family, kind, protocol)
            except OSError:
                continue  # The system may know addresses of a kind that it has no sockets for.
            sockets.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # As asyncio: or it would take the same port of IPv4 too, which has its own socket.
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setblocking(False)
            made.bind((address[0], port or port_of(sockets), *address[2:]))
    except OSError:
        for made in sockets:
            made.close()
        raise
    if not sockets:
        raise OSError(f"{host} has no address that this system can listen on")
    return sockets


def claim(sockets: list[socket.socket]) -> list[socket.socket]:
    """Claims the addresses of some sockets for one service, against others that come to share them.

    Nothing else tells them from the service's own processes, as long as none of these listens.

    Args:
        sockets: From `bind`.

    Returns:
        The claims, which hold until they are closed or the process has ended.

    Raises:
        OSError: Another service has one of the addresses.
    """
    claims: list[socket.socket] = []
    try:
        for held in sockets:
            claims.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            # The leading zero makes it a name without a file, known as far as the port is.
            claims[-1].bind(f"\0twinlens {held.getsockname()}")
    except OSError:
        for made in claims:
            made.close()
        raise
    return claims


def port_of(sockets: list[socket.socket]) -> int:
    """The port of the first of them; 0 if that has none yet."""
    port: int = sockets[0].getsockname()[1]
    return port
