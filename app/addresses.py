"""What is said of an address that cannot be had, also by a process that imports next to nothing."""

import os
import socket


def cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why a server cannot listen, and what to do.

    Args:
        host: As the setting.
        port: Likewise.
        error: Of the attempt.
    """
    return (
        f"cannot listen on {host}, port {port} ({_reason(error)}); end what listens there, or "
        "choose others with TWINLENS_HOST and TWINLENS_PORT"
    )


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        # Of names with an empty part, or one of more than 63 characters.
        return "that is neither an address nor a name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    # asyncio puts a sentence of its own where the system's words would be.
    return os.strerror(error.errno)
