"""Where the processes of one service find each other."""

import os
from pathlib import Path

_LONGEST = 107
"""Bytes that the path of a unix socket may have on Linux."""


class Folder:
    """The private folder of one running service.

    Args:
        path: Only this user may look into it: whoever reaches its sockets can use the service.

    Attributes:
        path: As given.
        device: The socket of the device process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.device = path / "device.sock"

    def socket(self, number: int) -> Path:
        """Where a front-end answers its siblings."""
        return self.path / f"{number}.sock"

    def record(self, number: int) -> Path:
        """The metrics of a front-end and of those before it, as they were last told to anyone."""
        return self.path / f"{number}.prom"

    def refusal(self, number: int) -> Path:
        """Why a front-end would not start; the parent says it once for all of them."""
        return self.path / f"{number}.error"

    def too_deep(self) -> bool:
        """Whether the path is too long for a socket in it."""
        return len(os.fsencode(self.device)) > _LONGEST
