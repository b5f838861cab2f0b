"""`python -m app`: serves until SIGTERM or SIGINT. Its other commands are modules of their own."""

import os
import signal
import sys

if __name__ == "__main__" and not sys.argv[1:]:
    # What a container runs first is sent no signal that it has no handler for: it would go on to
    # serve, and be killed at last. Nothing is accepted yet; the server has handlers of its own.
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, lambda *_: os._exit(0))

import logging
from pathlib import Path
from typing import NoReturn

from app.api.guard import is_loopback
from app.descriptors import open_standard_streams, raise_limit
from app.exits import EXIT_USAGE
from app.inference.engines import choose_device
from app.main import create_app
from app.memory import spare_cores_and_memory
from app.observability import logs
from app.security import command
from app.server import DrainingServer, check_address, serve, server_config
from app.settings import Settings, SettingsError, likely_slips, read_settings
from model_store.errors import TwinlensError

_logger = logging.getLogger("app")

_FRONT_END_WORDS = 3

_USAGE = """\
usage: python -m app                 serves; settings are in the environment (README, or
                                     python -m app.settings), such as TWINLENS_PORT=8001
       python -m app convert         converts the models of the store ahead of serving
       python -m app key --help      API keys"""


def main(arguments: list[str]) -> int:
    """Serves, or does what the arguments say; returns the process's exit status."""
    if arguments:
        return _command(arguments)
    open_standard_streams()
    try:
        settings = read_settings()
        choose_device(settings.device)
        check_address(settings.host, settings.port)
        logs.configure(settings.log_level)
        raise_limit()
        if settings.processes > 1:
            _become_parent(settings)
        spare_cores_and_memory()
        app = create_app(settings)
    except TwinlensError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    _warn(settings)
    return serve(DrainingServer(server_config(app, settings), settings.drain_seconds))


def _command(arguments: list[str]) -> int:
    if arguments[0] == "key":
        return command.main(arguments[1:])
    if arguments[0] == "convert":
        from app import convert  # With OpenVINO, which a start may do without.

        return convert.main(arguments[1:])
    if arguments[0] == "front-end" and len(arguments) == _FRONT_END_WORDS:
        from app.processes import front_end

        spare_cores_and_memory()
        return front_end.main(Path(arguments[1]), int(arguments[2]))
    if arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    print(f"{_USAGE}\n\nerror: no such command: {' '.join(arguments)}", file=sys.stderr)
    return EXIT_USAGE


def _become_parent(settings: Settings) -> NoReturn:
    """Goes on as the parent of several processes.

    Raises:
        SettingsError: This system cannot have several.
    """
    from app.processes import listening, parent

    if not listening.can_share_ports():
        raise SettingsError(
            f"TWINLENS_PROCESSES={settings.processes} needs Linux, which spreads the connections "
            "to one port over several processes; unset it, or start several services on ports of "
            "their own"
        )
    _warn(settings)
    parent.become(
        parent.Plan(
            host=settings.host,
            port=settings.port,
            processes=settings.processes,
            drain_seconds=settings.drain_seconds,
            watchdog_seconds=settings.watchdog_seconds,
            log_level=settings.log_level,
        )
    )


def _warn(settings: Settings) -> None:
    """Logs what may not be meant."""
    for slip in likely_slips(os.environ):
        _logger.warning("%s", slip)
    if settings.api_keys is None and not is_loopback(settings.host):
        _logger.warning(
            "listening on %s without API keys: whoever can reach this port can use the service; "
            "make a key with python -m app key create NAME --file FILE and set "
            "TWINLENS_API_KEYS=FILE, or keep strangers out by other means",
            settings.host,
        )
    if settings.api_keys is None and settings.rate_limit:
        _logger.warning(
            "TWINLENS_RATE_LIMIT changes nothing without API keys, because it is what a key may "
            "send; set TWINLENS_API_KEYS, or limit clients at the proxy"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
