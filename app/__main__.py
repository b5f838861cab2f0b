"""`python -m app`: serves until SIGTERM or SIGINT."""

import logging
import os
import sys

from pydantic import ValidationError

from app.inference.engines import choose_device
from app.inference.errors import InferenceError
from app.main import create_app
from app.observability import logs
from app.protocol import server_config
from app.server import DrainingServer
from app.settings import Settings


def main() -> int:
    """Serves; returns the process's exit status."""
    try:
        settings = Settings()
    except ValidationError as error:
        for part in error.errors():
            name = "_".join(["TWINLENS", *map(str, part["loc"])]).upper()
            print(f"error: {name}: {part['msg']} (given: {part['input']!r})", file=sys.stderr)
        return 2
    try:
        choose_device(settings.device)
    except InferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    config = server_config(create_app(settings), settings)
    server = DrainingServer(config, settings.drain_seconds)
    server.run()
    # The interpreter would wait for its threads, and one that hangs in an engine never ends.
    logging.shutdown()
    os._exit(server.status)


if __name__ == "__main__":
    sys.exit(main())
