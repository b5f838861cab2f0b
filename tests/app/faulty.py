"""`python -m tests.app.faulty FOLDER` serves like `python -m app`, with engines that break.

An engine hangs while the folder holds a file `hang`, and raises while it holds `raise`; with a file
`stay` beside it, engines built meanwhile break as well.
"""

import sys
import time
from pathlib import Path

import numpy as np

from app.__main__ import main
from app.inference import engines
from app.inference.engines import Engine, make_engine
from model_store.network import Side


class Breaking:
    """An engine before which something stands that may break.

    Args:
        engine: The real one.
        folder: Says when to break.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._sound = (folder / "hang").exists() or (folder / "raise").exists()
        self.name, self.device, self.precision = engine.name, engine.device, engine.precision
        self.reason, self.concurrency = engine.reason, engine.concurrency

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        if not self._sound or (self._folder / "stay").exists():
            while (self._folder / "hang").exists():
                time.sleep(0.05)
            if (self._folder / "raise").exists():
                raise RuntimeError("the device is gone")
        return self._engine.features(batch, side)

    def warm_up(self, max_batch: int) -> None:
        self._engine.warm_up(max_batch)

    def close(self) -> None:
        self._engine.close()


if __name__ == "__main__":
    folder_ = Path(sys.argv[1])
    engines.make_engine = lambda *args, **options: Breaking(  # type: ignore[assignment, misc]
        make_engine(*args, **options), folder_
    )
    sys.exit(main([]))
