"""`python -m training predict`: what a model says of two pictures, with both to be seen."""

import argparse
from pathlib import Path

from PIL import Image
from rich.console import Console

from model_store.errors import ImageError
from model_store.images import decode
from training.commands.common import add_device, add_store, chosen_device, chosen_store
from training.errors import DataError, TrainingError
from training.outputs import can_be_read_again, check_file, write_file
from training.pictures.comparison import comparison_sheet, figures, half_blocks
from training.pictures.sheet import to_png
from training.prediction import predict

_COLOURFUL = ("256", "truecolor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "a", type=Path, metavar="A", help="an image file: the left side, where the sides differ"
    )
    parser.add_argument("b", type=Path, metavar="B", help="another: the right side")
    parser.add_argument(
        "--model", metavar="NAME", help="a model or an alias (default: the store's default)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.png",
        help="draw both pictures and the verdict to this file (default: on the terminal, if it "
        "has the colours)",
    )
    add_store(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The model or a picture cannot be used.
    """
    if options.out is not None:
        check_file(options.out, "--out")
        if can_be_read_again(options.out) and options.out.suffix.lower() != ".png":
            raise DataError(f"{options.out} does not end in .png, and only PNG is written")
    paths = (options.a, options.b)
    files = [_read(path) for path in paths]
    images = [_decoded(path, data) for path, data in zip(paths, files, strict=True)]
    store, device = chosen_store(options), chosen_device(options)
    name = options.model or store.index().default
    if name is None:
        raise TrainingError(f"{store.root} has no default model; choose one with --model")
    checkpoint = store.load(store.resolve(name))
    prediction = predict(checkpoint, *files, device=device)
    model = f"{checkpoint.manifest.name} version {checkpoint.manifest.version}"
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    colourful = console.color_system in _COLOURFUL and not console.no_color
    if options.out is None and console.is_terminal and colourful:
        console.print(half_blocks(images, console.width), end="")
    for line in (
        f"A: {paths[0]}",
        f"B: {paths[1]}",
        f"model: {model}",
        *figures(prediction),
    ):
        console.print(line, markup=False)
    if options.out is not None:
        sheet = comparison_sheet(prediction, images, [path.name for path in paths], model)
        write_file(options.out, to_png(sheet), "give --out another place")
        console.print(f"picture: {options.out}", markup=False)
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def _decoded(path: Path, data: bytes) -> Image.Image:
    try:
        return decode(data)
    except ImageError as error:
        raise DataError(f"{path}: {error}") from error
