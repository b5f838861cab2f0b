"""`python -m app convert`: converts the store's models ahead of serving.

A start that finds them converted is ready seconds earlier, and computes them in the precision that
was found to be right for a CPU like this one. An image that is built with them, and started many
times, is what this is for.
"""

import argparse
import contextlib
import sys
from functools import partial

from app.exits import EXIT_USAGE
from app.inference.engines import make_engine
from app.inference.engines.conversion import ConversionFailed
from app.inference.engines.converted import ConvertedModels
from app.inference.engines.cpu import asked_for
from app.inference.errors import InferenceError
from app.settings import Settings, read_settings
from model_store import Checkpoint
from model_store.errors import StoreError, TwinlensError
from model_store.reader import StoreReader


def main(arguments: list[str]) -> int:
    """Runs the command; returns the process's exit status: 2 if a model could not be loaded."""
    _parser().parse_args(arguments)
    status = 0
    try:
        settings = read_settings()
        store = StoreReader(settings.model_store)
        references = store.models()
        if not references:
            print(f"{store.root} holds no model, so that there is nothing to convert")
        folder = ConvertedModels(settings.engine_cache)
        for reference in references:
            try:
                _convert(store.load(reference.name), folder, settings)
            except InferenceError as error:
                if asked_for(settings.engine, settings.precision):
                    print(f"error: {reference.name}: {error}", file=sys.stderr)
                    status = EXIT_USAGE
                else:
                    print(f"{reference.name}: stays with PyTorch: {error}")
            except StoreError as error:
                print(f"error: {reference.name}: {error}", file=sys.stderr)
                status = EXIT_USAGE
            else:
                print(f"{reference.name}: converted, in {settings.engine_cache}")
    except TwinlensError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(
            f"error: {error}; name a folder of this user's own in TWINLENS_ENGINE_CACHE",
            file=sys.stderr,
        )
        return EXIT_USAGE
    return status


def _convert(checkpoint: Checkpoint, folder: ConvertedModels, settings: Settings) -> None:
    """One model, for every precision that it may be served in.

    Raises:
        InferenceError: OpenVINO cannot run it, or the service would not as it is set.
        OSError: The folder cannot be written to, or others could write to it.
    """
    for side in checkpoint.network.sides:
        folder.put(checkpoint, side)
        # Where it is served there may be another CPU; float32 is for all of them.
        with contextlib.suppress(ConversionFailed):
            folder.put(checkpoint, side, "bfloat16")
        if settings.precision == "int8":
            folder.put(checkpoint, side, "int8")
    make = partial(make_engine, checkpoint, device="cpu", cache=settings.engine_cache)
    # It finds out, and keeps, in which precision.
    make(engine="openvino").close()
    if asked_for(settings.engine, settings.precision):
        make(engine=settings.engine, precision=settings.precision).close()


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m app convert",
        description="Converts the store's models to the form that the CPU engine runs, so that the "
        "next start need not. Takes no arguments: the models are those of TWINLENS_MODEL_STORE, "
        "and what is made lies in TWINLENS_ENGINE_CACHE.",
    )
