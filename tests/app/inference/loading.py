"""A loader as the tests want it."""

from pathlib import Path

from app.inference.engines import Engine, make_engine
from app.inference.loader import Loader, MakeEngine
from app.observability.metrics import Metrics
from model_store import Checkpoint, ModelStore


def on_torch(checkpoint: Checkpoint) -> Engine:
    return make_engine(checkpoint, engine="torch", device="cpu", threads=1, cache=Path("unused"))


def loader(store: ModelStore, default: str | None = None, make: MakeEngine = on_torch) -> Loader:
    return Loader(
        store,
        default=default,
        make=make,
        max_batch=2,
        metrics=Metrics(),
    )


def damage(path: Path) -> None:
    """Flips a bit of a version's weights."""
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "weights.safetensors").write_bytes(data)
