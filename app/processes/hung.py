"""Ends a front-end that hangs, so that another takes its place.

The kernel goes on giving it connections, which nobody but those who wait there would notice.
"""

import asyncio
import logging
from pathlib import Path

from app.observability.logs import fields
from app.processes.asking import ask
from app.processes.keeper import Child

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0


async def end_if_hung(child: Child, socket: Path, seconds: float) -> None:
    """Asks a front-end now and then, until cancelled, and kills one that is silent for too long.

    Args:
        child: The front-end.
        socket: Where it answers its siblings.
        seconds: How long it may take to answer.
    """
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        asked = child.starts
        if not await _answers(socket, seconds) and child.starts == asked:
            _logger.error(
                "%s has not answered for %g s and is killed",
                child.name,
                seconds,
                extra=fields(process=child.name),
            )
            child.kill()


async def _answers(socket: Path, seconds: float) -> bool:
    try:
        await ask(socket, "hindrance", seconds)
    except TimeoutError:
        return False
    except (OSError, EOFError, ValueError):
        # It has not come so far, or has ended: the parent sees to that anyway.
        pass
    return True
