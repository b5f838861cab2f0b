"""`python -m app.inference.device SOCKET`: started by the service that has several processes."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread

from app.exits import EXIT_BROKEN, EXIT_USAGE
from app.inference.device.server import DeviceServer
from app.inference.engines import Engine, choose_device, engine_maker, largest_batch
from app.memory import spare_cores_and_memory
from app.observability import logs
from app.settings import read_settings
from model_store import Checkpoint
from model_store.errors import TwinlensError
from model_store.reader import StoreReader

_LOOK_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    """Computes for whoever connects, until SIGTERM or until its parent has ended.

    Should it be unable to, it ends as well: another can take its place.
    """
    if len(arguments) != 1:
        print("usage: python -m app.inference.device SOCKET", file=sys.stderr)
        return EXIT_USAGE
    parent = os.getppid()
    try:
        settings = read_settings()
        device = choose_device(settings.device)
    except TwinlensError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    # A thread that hangs in a call of the device's would be waited for by any other way out.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Whoever is at the terminal ends the service by its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(settings.log_level)
    spare_cores_and_memory()
    most = largest_batch(settings.max_batch, device)
    make = partial(_warm, make=engine_maker(settings, device), max_batch=most)
    server = DeviceServer(Path(arguments[0]), StoreReader(settings.model_store), make, most)
    serving = Thread(target=server.serve, name="twinlens-device-server", daemon=True)
    serving.start()
    while os.getppid() == parent and serving.is_alive():
        time.sleep(_LOOK_SECONDS)
    logging.shutdown()
    os._exit(0 if serving.is_alive() else EXIT_BROKEN)


def _warm(checkpoint: Checkpoint, make: Callable[[Checkpoint], Engine], max_batch: int) -> Engine:
    engine = make(checkpoint)
    try:
        engine.warm_up(max_batch)
    except BaseException:
        engine.close()
        raise
    return engine


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
