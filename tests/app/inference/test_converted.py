"""Networks that were converted before, on disk."""

import asyncio
import logging
import os
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from app.inference.embedder import EncodedImage
from app.inference.engines import (
    agreement,
    converted,
)
from app.inference.engines.converted import ConvertedModels
from app.inference.engines.openvino_cpu import OpenVinoEngine
from app.inference.service import running
from app.settings import Settings
from model_store import Checkpoint, ModelStore
from model_store.locks import locked
from model_store.network import SiameseNetwork, Side
from model_store.probe import Probe
from tests.app.inference.conversions import cosine, eight_bits, in_openvino, saved
from tests.app.material import network, picture


@pytest.mark.usefixtures("once")
def test_a_restart_does_not_convert_again(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path, network())
    folder = tmp_path / "a" / "cache"
    ConvertedModels(folder).get(checkpoint, Side.LEFT)
    assert (folder.stat().st_mode & 0o777) == 0o700
    (entry,) = folder.iterdir()  # And nothing half-written beside it.
    assert (entry.stat().st_mode & 0o777) == 0o700
    monkeypatch.setattr(converted, "convert", None)
    again = ConvertedModels(folder).get(checkpoint, Side.LEFT)
    engine = OpenVinoEngine({Side.LEFT: again}, precision="float32", threads=1, reason="")
    agreement.check(engine, Probe.of(checkpoint.network))
    engine.close()


@pytest.mark.usefixtures("once")
def test_other_weights_are_converted_anew(tmp_path: Path) -> None:
    for seed in (0, 1):
        store = ModelStore(tmp_path / str(seed))
        store.save("tiny", network(seed=seed))
        ConvertedModels(tmp_path / "cache").get(store.load("tiny"), Side.LEFT)
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("harm", ["model.bin", "model.xml", "digest"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, caplog, harm: str) -> None:
    checkpoint = saved(tmp_path, network())
    cache = ConvertedModels(tmp_path / "cache")
    cache.get(checkpoint, Side.LEFT)
    (file,) = (tmp_path / "cache").glob(f"*/{harm}")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        cache.get(checkpoint, Side.LEFT)
    assert "converting again" in caplog.text
    caplog.clear()
    cache.get(checkpoint, Side.LEFT)
    assert not caplog.text


@pytest.mark.usefixtures("once")
def test_a_folder_that_cannot_be_used_is_said_and_done_without(tmp_path: Path, caplog) -> None:
    checkpoint = saved(tmp_path, network())
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "cache", Path("/proc/cache")):
        with caplog.at_level(logging.WARNING):
            assert ConvertedModels(folder).get(checkpoint, Side.LEFT) is not None
        assert "TWINLENS_ENGINE_CACHE" in caplog.text
        caplog.clear()


@pytest.mark.usefixtures("once")
@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_others_may_write_to_is_not_run(tmp_path: Path, caplog) -> None:
    checkpoint = saved(tmp_path, network())
    folder = tmp_path / "cache"
    cache = ConvertedModels(folder)
    cache.get(checkpoint, Side.LEFT)
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert cache.get(checkpoint, Side.LEFT) is not None
    assert "written to by others" in caplog.text


@pytest.mark.usefixtures("once")
def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    left, written = folder / ".incoming-left", folder / ".incoming-written"
    for unfinished in (left, written):
        unfinished.mkdir()
        (unfinished / "model.bin").write_bytes(bytes(100))
    with locked(written):
        ConvertedModels(folder).get(saved(tmp_path, network()), Side.LEFT)
    assert not left.exists()
    assert (written / "model.bin").exists()
    assert len(list(folder.iterdir())) == 2, "and what was converted"


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("precision", ["auto", pytest.param("int8", marks=eight_bits)])
def test_a_service_answers_from_it(tmp_path: Path, precision: str) -> None:
    store = ModelStore(tmp_path / "store")
    store.save("tiny", network())
    settings = {"device": "cpu", "engine_cache": tmp_path / "cache", "store_poll_seconds": 0}

    async def embed(engine: str, precision: str) -> np.ndarray:
        chosen = Settings(model_store=store.root, engine=engine, precision=precision, **settings)
        async with running(chosen) as service:
            used = service.catalogue.models["tiny"].engine
            assert used.name == engine
            assert precision in ("auto", used.precision)
            images = [EncodedImage("image", picture(seed)) for seed in range(9)]
            return (await service.inference.embed(images)).embeddings

    found, expected = (
        asyncio.run(embed(*each)) for each in (("openvino", precision), ("torch", "auto"))
    )
    # These are pictures of noise, unlike those that eight bits were fitted to.
    least = 0.97 if precision == "int8" else agreement.BOUNDS["bfloat16"].worst
    assert cosine(found, expected).min() >= least


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """The sides that were converted, in order; what they are converted to is all the same."""
    made: list[Side] = []

    def convert(_: SiameseNetwork, side: Side) -> ov.Model:
        made.append(side)
        return in_openvino()[Side.LEFT].clone()

    monkeypatch.setattr(converted, "convert", convert)
    return made


def other(checkpoint: Checkpoint, **changes: object) -> Checkpoint:
    """The same weights under another manifest."""
    return replace(checkpoint, manifest=checkpoint.manifest.model_copy(update=changes))


def normalised(checkpoint: Checkpoint, mean: float) -> Checkpoint:
    """The same network for pixels of another mean."""
    spec = checkpoint.manifest.preprocessing.model_copy(update={"mean": (mean,) * 3})
    return other(checkpoint, preprocessing=spec)


def test_whatever_a_conversion_depends_on_is_converted_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Side]
) -> None:
    cache = ConvertedModels(tmp_path / "cache")
    checkpoint = saved(tmp_path, network())

    def times(chosen: Checkpoint, side: Side = Side.LEFT) -> int:
        before = len(conversions)
        for _ in range(2):
            cache.get(chosen, side)
        return len(conversions) - before

    assert times(checkpoint) == 1
    assert times(checkpoint, Side.RIGHT) == 1
    assert times(normalised(checkpoint, 0.4)) == 1
    assert times(other(checkpoint, network=network(sides=2).spec)) == 1
    for library in ("openvino", "torch", "twinlens"):
        monkeypatch.setattr(
            converted,
            "version",
            lambda name, newer=library: "1000.0" if name == newer else version(name),
        )
        assert times(checkpoint) == 1, library
    monkeypatch.undo()
    monkeypatch.setattr(converted, "convert", None)
    cache.get(checkpoint, Side.LEFT)


def aged(entry: Path, days: float) -> None:
    """Makes an entry one that was last used so long ago."""
    os.utime(entry, (time.time() - days * 24 * 3600,) * 2)


def test_of_what_nobody_uses_any_more_the_last_used_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Side]
) -> None:
    monkeypatch.setattr(converted, "_KEPT", 2)
    folder = tmp_path / "cache"
    cache = ConvertedModels(folder)
    checkpoint = saved(tmp_path, network())
    first, second, third = (normalised(checkpoint, mean) for mean in (0.1, 0.2, 0.3))
    for made, days in ((first, 60), (second, 50)):
        before = set(folder.iterdir()) if folder.exists() else set()
        cache.get(made, Side.LEFT)
        (entry,) = set(folder.iterdir()) - before
        aged(entry, days)
    cache.get(first, Side.LEFT)
    cache.get(third, Side.LEFT)
    assert len(conversions) == 3
    cache.get(first, Side.LEFT)
    cache.get(third, Side.LEFT)
    assert len(conversions) == 3
    cache.get(second, Side.LEFT)
    assert len(conversions) == 4


def test_however_many_models_a_store_has_a_restart_converts_none_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Side]
) -> None:
    monkeypatch.setattr(converted, "_KEPT", 2)
    folder = tmp_path / "cache"
    cache = ConvertedModels(folder)
    checkpoint = saved(tmp_path, network())
    models = [normalised(checkpoint, mean) for mean in (0.1, 0.2, 0.3, 0.4)]
    for days in (0, 20, 20):
        for model in models:
            cache.get(model, Side.LEFT)
        for entry in folder.iterdir():
            aged(entry, days)
    assert len(conversions) == len(models)


def test_of_more_bytes_than_may_be_the_last_used_stay_and_those_of_one_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Side]
) -> None:
    folder = tmp_path / "cache"
    cache = ConvertedModels(folder)
    checkpoint = saved(tmp_path, network())
    models = [normalised(checkpoint, mean) for mean in (0.1, 0.2, 0.3, 0.4, 0.5)]
    entries: list[Path] = []
    for model in models[:4]:
        cache.get(model, Side.LEFT)
        entries += set(folder.iterdir()) - set(entries)
    one = sum(file.stat().st_size for file in entries[0].iterdir())
    monkeypatch.setattr(converted, "_KEPT_BYTES", 2.5 * one)
    # The last one, which is the third in the end, stays for its age alone.
    for entry, days in zip(entries, (4, 3, 2, 0.9), strict=True):
        aged(entry, days)
    cache.get(models[1], Side.LEFT)
    cache.get(models[4], Side.LEFT)
    assert set(entries) & set(folder.iterdir()) == {entries[1], entries[3]}
    assert len(conversions) == 5


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_another_user_or_group_could_put_there_is_neither_run_nor_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Side]
) -> None:
    folder = tmp_path / "cache"
    cache = ConvertedModels(folder)
    checkpoint = saved(tmp_path, network())
    cache.put(checkpoint, Side.LEFT)
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        with pytest.raises(PermissionError, match="written to by others"):
            cache.put(checkpoint, Side.LEFT)
    folder.chmod(0o700)
    cache.put(checkpoint, Side.LEFT)
    assert len(conversions) == 3
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        cache.put(checkpoint, Side.LEFT)
    assert len(list(folder.iterdir())) == 1
