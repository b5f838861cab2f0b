"""Checkpoints with flipped bits, and a `fit` that is killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from model_store import ModelStore, checkpoint
from model_store.errors import StoreError
from tests.training.drawings import fit_words, fitting_place, with_recipe
from torture.outcome import Outcome
from torture.scale import Scale

_SEED = 20


def flips(scale: Scale, folder: Path) -> Outcome:
    """Single-bit flips, half of them in the manifest and half in the weights."""
    outcome = Outcome(f"{scale.flips:,} single-bit flips over a checkpoint")
    source = ModelStore(folder / "glyphs").find("glyphs").path
    place = folder / "flips"
    shutil.copytree(source, place)
    sound = checkpoint.load(place)
    weights = sound.network.state_dict()
    draw = random.Random(_SEED)
    counts = {"refused": 0, "without effect": 0, "with an effect": 0, "another error": 0}
    for number in range(scale.flips):
        path = place / (checkpoint.MANIFEST if number % 2 else checkpoint.WEIGHTS)
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
    started = time.monotonic()
    whole = _fit(place, place / "whole", scale.steps)
    if whole.wait() != 0:
        raise RuntimeError("the fit that nothing disturbs failed")
    length = time.monotonic() - started
    expected = _digest(place / "whole")
    draw = random.Random(_SEED)
    killed = finished = different = wrong = rounds = 0
    while killed < scale.kills:
        store = place / f"killed-{rounds}"
        rounds += 1
        while True:
            process = _fit(place, store, scale.steps)
            try:
                # Most moments are before the end; those after it are the run that comes through.
                process.wait(draw.uniform(0, 1.2 * length) if killed < scale.kills else None)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                wrong += _loads_wrong(store)
                continue
            if process.returncode != 0:
                raise RuntimeError(f"a resumed fit failed with status {process.returncode}")
            break
        finished += 1
        different += _digest(store) != expected
        shutil.rmtree(store)
    outcome.add(
        "killed", f"{killed} times in {rounds} run(s) of {scale.steps} steps, {length:.0f} s"
    )
    outcome.add(
        "final weights unlike those of the run never killed",
        f"{different} of {finished}",
        "none",
        met=different == 0,
    )
    outcome.add("stores left with a checkpoint that loads wrong", wrong, "none", met=wrong == 0)
    return outcome


def _fit(place: Path, store: Path, steps: int) -> subprocess.Popen[bytes]:
    begun = (store / ".runs" / "m" / "state.pt").exists()
    if not begun:
        # Killed before its first saved state, it has nothing to resume from.
        shutil.rmtree(store / ".runs", ignore_errors=True)
    more = ["--resume"] if begun else with_recipe(place, f"max_steps={steps}")
    return subprocess.Popen(
        [sys.executable, "-m", "training", *fit_words(place, store), "--save-every", "0", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


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
