"""`python -m app`: serves until SIGTERM or SIGINT. Its other commands are modules of their own."""

import logging
import os
import sys

from threadpoolctl import threadpool_limits

from app.api.guard import is_loopback
from app.inference.engines import choose_device
from app.main import create_app
from app.memory import keep_freed_memory
from app.observability import logs
from app.protocol import server_config
from app.security import command
from app.server import EXIT_FORCED, DrainingServer, check_address
from app.settings import likely_slips, read_settings
from model_store.errors import TwinlensError

_logger = logging.getLogger("app")

_USAGE = """\
usage: python -m app                 serves; settings are in the environment (README, or
                                     python -m app.settings), such as TWINLENS_PORT=8001
       python -m app convert         converts the models of the store ahead of serving
       python -m app key --help      API keys"""


def main(arguments: list[str]) -> int:
    """Serves, or does what the arguments say; returns the process's exit status."""
    if arguments:
        if arguments[0] == "key":
            return command.main(arguments[1:])
        if arguments == ["convert"]:
            from app import convert  # With OpenVINO, which a start may do without.

            return convert.main()
        if arguments[0] in ("-h", "--help"):
            print(_USAGE)
            return 0
        print(f"{_USAGE}\n\nerror: no such command: {' '.join(arguments)}", file=sys.stderr)
        return 2
    try:
        settings = read_settings()
        choose_device(settings.device)
        check_address(settings.host, settings.port)
        logs.configure(settings.log_level)
        # NumPy's own threads spin for 30 ms after each small product, on cores that the network
        # wants: with many requests in flight that took a third of the throughput.
        threadpool_limits(1, user_api="blas")
        keep_freed_memory()
        app = create_app(settings)
    except TwinlensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for slip in likely_slips(os.environ):
        _logger.warning("%s", slip)
    if settings.api_keys is None and not is_loopback(settings.host):
        _logger.warning(
            "listening on %s without API keys: whoever can reach this port can use the service; "
            "make a key with python -m app key create NAME --file FILE and set "
            "TWINLENS_API_KEYS=FILE, or keep strangers out by other means",
            settings.host,
        )
    config = server_config(app, settings)
    server = DrainingServer(config, settings.drain_seconds)
    try:
        server.run()
    except SystemExit as ended:
        # The address was taken since it was looked at; the log says so.
        server.status = ended.code if isinstance(ended.code, int) else EXIT_FORCED
    # The interpreter would wait for its threads, and one that hangs in an engine never ends.
    logging.shutdown()
    os._exit(server.status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
