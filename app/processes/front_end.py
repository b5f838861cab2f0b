"""One of several processes that serve HTTP on the same port."""

import logging
import os
import shutil
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from app.exits import EXIT_USAGE
from app.inference.engines import choose_device
from app.main import create_app
from app.observability import logs
from app.processes import leash
from app.processes.folder import Folder
from app.processes.listening import bind
from app.processes.shares import share_of
from app.processes.siblings import SocketSiblings
from app.server import DrainingServer, serve, server_config
from app.settings import read_settings
from model_store.errors import TwinlensError

_logger = logging.getLogger(__name__)


class FrontEndServer(DrainingServer):
    """A server among others, which a parent starts and ends.

    Args:
        config: As `DrainingServer`.
        drain_seconds: Likewise.
        number: The front-end's.
    """

    def __init__(self, config: uvicorn.Config, drain_seconds: float, number: int) -> None:
        super().__init__(config, drain_seconds)
        self._number = number

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As `uvicorn.Server`, which is silent on where it listens if it is given sockets."""
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _logger.info("front-end %d running on http://%s:%d", self._number, shown, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain, or ends if it does not listen yet; further signals change nothing.

        Whoever supervises the service may signal all of its processes, and so this one twice. To
        end everything at once is the parent's, which kills.
        """
        if not self.started:
            os._exit(0)
        if not self.draining:
            super().handle_exit(sig, frame)


def main(path: Path, number: int) -> int:
    """Serves until a signal comes.

    Args:
        path: The service's folder, from the parent.
        number: Which of the front-ends this is, from 0.

    Returns:
        The process's exit status where it cannot serve; what is wrong lies in the folder then.
        There is no return from serving: the process ends.
    """
    folder = Folder(path)
    leash.hold(lambda: shutil.rmtree(path, ignore_errors=True))
    try:
        whole = read_settings()
        logs.configure(whole.log_level)
        settings = share_of(whole, choose_device(whole.device))
        siblings = SocketSiblings(folder, number, whole.processes, parent=os.getppid())
        app = create_app(settings, device_socket=folder.device, siblings=siblings)
        sockets = bind(settings.host, settings.port)
    except (TwinlensError, OSError) as error:
        # Whatever it names: with another status than this one it would be started again for ever.
        folder.refusal(number).write_text(str(error), "utf-8", "backslashreplace")
        return EXIT_USAGE
    config = server_config(app, settings)
    return serve(FrontEndServer(config, settings.drain_seconds, number), sockets)
