"""The other processes of the same service, where it has several."""

from typing import Protocol

from fastapi import Request

from app.inference.service import Service


class Siblings(Protocol):
    """What this process asks of the others, and they of it."""

    async def open(self, service: Service) -> None:
        """Begins to answer the others, on behalf of this process's service.

        Returns when this process should listen for requests.
        """

    async def close(self) -> None:
        """Answers them no more."""

    async def exposition(self) -> str:
        """The metrics of all processes as one service's, in Prometheus' text format."""

    async def unready_reason(self) -> str | None:
        """Why requests that come to another process would not be served; None if all would."""

    async def look(self) -> None:
        """Has the others look through the store now; what one of them cannot do is logged."""


def siblings_of(request: Request) -> Siblings | None:
    """The other processes; None where this one is alone."""
    siblings: Siblings | None = request.app.state.siblings
    return siblings
