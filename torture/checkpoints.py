"""Checkpoints with flipped bits, and a `fit` that is killed."""

import os
import random
import shutil
import signal
import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from model_store import ModelStore, checkpoint
from model_store.errors import StoreError
from tests.training.drawings import fit_words, fitting_place, with_recipe
from torture.outcome import Outcome
from torture.scale import Scale
from training.cli import main

_SEED = 20

# Processes that begin with all libraries loaded, which takes longer than the `fit` itself: the
# moments they are killed at are of its own work.
_FITS = get_context("forkserver")
_FITS.set_forkserver_preload(
    ["torture.__main__", "training.commands.fit", "training.dry_run.rehearsal", "torch._dynamo"]
)


def flips(scale: Scale, folder: Path) -> Outcome:
    """Single-bit flips, as many in the manifest as in each file that it speaks of."""
    outcome = Outcome(f"{scale.flips:,} single-bit flips over a checkpoint")
    source = ModelStore(folder / "glyphs").find("glyphs").path
    place = folder / "flips"
    shutil.copytree(source, place)
    files = [place / checkpoint.MANIFEST, *sorted(place.glob("*.safetensors"))]
    sound = checkpoint.load(place)
    weights = sound.network.state_dict()
    draw = random.Random(_SEED)
    counts = {"refused": 0, "without effect": 0, "with an effect": 0, "another error": 0}
    for number in range(scale.flips):
        path = files[number % len(files)]
        bit = draw.randrange(8 * path.stat().st_size)
        with path.open("r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, bit // 8)
            os.pwrite(file.fileno(), bytes([byte[0] ^ (1 << bit % 8)]), bit // 8)
            try:
                loaded = checkpoint.load(place)
            except StoreError:
                counts["refused"] += 1
            except Exception as error:
                counts["another error"] += 1
                outcome.add(f"bit {bit} of {path.name}", repr(error), "refused", met=False)
            else:
                same = loaded.manifest == sound.manifest and all(
                    torch.equal(value, weights[name])
                    for name, value in loaded.network.state_dict().items()
                )
                counts["without effect" if same else "with an effect"] += 1
            finally:
                os.pwrite(file.fileno(), byte, bit // 8)
    good = counts["refused"] + counts["without effect"]
    found = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    outcome.add(f"seed {_SEED}", found, "refused, or without effect", met=good == scale.flips)
    return outcome


def kills(scale: Scale, folder: Path) -> Outcome:
    """`fit` killed at random moments, again and again, until it has come through."""
    outcome = Outcome(f"kill -9 of fit at {scale.kills} random moments")
    place = fitting_place(folder / "drawings", classes=10, images=5)
    length = 0.0
    # The first one also waits for the libraries, which the others find there.
    for store in (place / "first", place / "whole"):
        started = time.monotonic()
        whole = _fit(place, store, scale.steps)
        whole.join()
        length = time.monotonic() - started
        if whole.exitcode != 0:
            raise RuntimeError("a fit that nothing disturbs failed")
    expected = _digest(place / "whole")
    draw = random.Random(_SEED)
    killed = resumable = finished = different = wrong = 0
    while killed < scale.kills:
        store = place / f"killed-{finished}"
        while True:
            process = _fit(place, store, scale.steps)
            process.join(draw.uniform(0, length) if killed < scale.kills else None)
            process.kill()
            process.join()
            if process.exitcode == 0:
                break
            if process.exitcode != -signal.SIGKILL:
                raise RuntimeError(f"a resumed fit failed with status {process.exitcode}")
            killed += 1
            resumable += _begun(store)
            wrong += _loads_wrong(store)
        finished += 1
        different += _digest(store) != expected
        shutil.rmtree(store)
    outcome.add(
        "killed",
        f"{killed} times in {finished} run(s) of {scale.steps} steps and {length:.1f} s, "
        f"{resumable} of them with a state to resume from",
    )
    outcome.add(
        "final weights unlike those of the run never killed",
        f"{different} of {finished}",
        "none",
        met=different == 0,
    )
    outcome.add("stores left with a checkpoint that loads wrong", wrong, "none", met=wrong == 0)
    return outcome


def _fit(place: Path, store: Path, steps: int) -> BaseProcess:
    begun = _begun(store)
    if not begun:
        # Killed before its first saved state, it has nothing to resume from.
        shutil.rmtree(store / ".runs", ignore_errors=True)
    more = ["--resume"] if begun else with_recipe(place, f"max_steps={steps}")
    words = [*fit_words(place, store), "--save-every", "0", *more]
    process = _FITS.Process(target=_run, args=(words,))
    process.start()
    return process


def _run(words: list[str]) -> None:
    """`python -m training` with those words, without a word, as the whole of a process."""
    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        sys.exit(main(words))


def _begun(store: Path) -> bool:
    """Whether a run has saved a state."""
    return (store / ".runs" / "m" / "state.pt").exists()


def _digest(store: Path) -> str:
    return ModelStore(store).manifest("m").weights.sha256


def _loads_wrong(store: Path) -> bool:
    """Whether a store lists a checkpoint that cannot be loaded."""
    models = ModelStore(store)
    for reference in models.models():
        try:
            models.load(reference.name)
        except StoreError:
            return True
    return False
