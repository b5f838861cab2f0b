"""A folder of copies, a class for each picture: the picture itself and what became of it."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from model_store.cpus import available_cpus
from model_store.errors import ImageError
from model_store.images import SUFFIXES, decode
from model_store.incoming import incoming_folder
from training.copies.edits import EDITS
from training.data.other_files import OtherFiles, counted, told_other_files
from training.data.sources import Skipped, Source, open_source
from training.errors import DataError
from training.threads import threads

COPIES = 5
"""Of each picture, where nobody says how many."""

LONGEST = 1024
"""Pixels of a copy's longer side before it is edited, at most: networks see fewer."""

_HOW_MANY_EDITS = (1, 1, 2, 2, 3)
"""One of these, drawn evenly, is how many edits a copy goes through."""

_QUALITY = (30, 92)
"""Of the JPEG that a copy is saved as."""

_LONGEST_NAME = 200
"""Bytes of a class's name; file systems take 255."""


@dataclass(frozen=True)
class Pictures:
    """What is to be copied.

    Attributes:
        source: Where they are read from.
        keys: Their paths in it.
        refused: What may not be read.
        other_files: Files that are not images by their name, left alone; counted by ending.
    """

    source: Source
    keys: tuple[str, ...]
    refused: tuple[Skipped, ...]
    other_files: OtherFiles


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        images: Pictures that were copied.
        size: Bytes of all files written.
        skipped: Files that could not be used, with reasons.
    """

    images: int
    size: int
    skipped: tuple[Skipped, ...]


def find_pictures(data: Path, *, sample: int | None = None, seed: int = 0) -> Pictures:
    """The pictures on any level of a folder, or of a zip archive.

    Args:
        data: Where they are.
        sample: So many of them, drawn at random; None: all.
        seed: Of what is drawn.

    Raises:
        DataError: There are none.
    """
    source = open_source(data)
    found = source.listing()
    keys = [key for key in found.files if PurePosixPath(key).suffix.lower() in SUFFIXES]
    others = counted(PurePosixPath(key) for key in set(found.files).difference(keys))
    if not keys:
        instead = told_other_files(others)
        raise DataError(
            f"{data}: no images{f', but {instead}' if instead else ''}; give a folder of pictures, "
            "or a zip of one"
        )
    if sample is not None and sample < len(keys):
        chosen = np.random.default_rng(seed).choice(len(keys), sample, replace=False)
        keys = [keys[index] for index in sorted(chosen.tolist())]
    return Pictures(source, tuple(keys), tuple(found.refused), others)


def make_copies(
    pictures: Pictures,
    out: Path,
    *,
    copies: int = COPIES,
    edits: Sequence[str] = tuple(EDITS),
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Made:
    """Writes a folder of each picture (`original.*`, as it is) and JPEG copies of it.

    Each copy goes through one to three edits, which its name tells, and is saved at a quality of 30
    to 92. The same seed makes the same copies, whatever other pictures there are. The folder is
    there whole or not at all.

    Args:
        pictures: What to copy.
        out: The folder to write, which must not be there yet.
        copies: Of each picture, at least 1.
        edits: The names of those that may be drawn from.
        seed: Of what is drawn.
        on_progress: Told how many pictures are done.

    Raises:
        DataError: Not one can be decoded; or `out` is there, is being written by another process,
            lies among the pictures or cannot be written.
    """
    where, keys = pictures.source.path, pictures.keys
    if out.resolve().is_relative_to(where.resolve()):
        raise DataError(f"{out} lies in {where}; give --out a place outside of the pictures")
    undecoded: list[Skipped] = []
    size = 0
    with _whole_folder(out) as folder, threads(available_cpus(), "copy") as pool:

        def copied(key: str, name: str) -> int | Skipped:
            return _copy(pictures.source, key, folder / name, copies, edits, seed)

        for done, result in enumerate(pool.map(copied, keys, _names(keys)), 1):
            if isinstance(result, Skipped):
                undecoded.append(result)
            else:
                size += result
            if on_progress is not None:
                on_progress(done)
        if len(undecoded) == len(keys):
            raise DataError(
                f"{where}: not one image can be decoded ({undecoded[0].shown}: "
                f"{undecoded[0].reason}); check that the files are images"
            )
    return Made(len(keys) - len(undecoded), size, (*pictures.refused, *undecoded))


def make_copy(
    image: Image.Image, edits: Sequence[str], draw: np.random.Generator
) -> tuple[tuple[str, ...], bytes]:
    """One copy of a picture: the edits it went through, in order, and its JPEG.

    Args:
        image: The picture, of mode RGB or L; the copy of a grey one is grey.
        edits: The names of those that may be drawn from.
        draw: The only source of randomness.
    """
    count = min(int(draw.choice(_HOW_MANY_EDITS)), len(edits))
    names = tuple(draw.choice(sorted(edits), size=count, replace=False).tolist())
    edited = image.convert("RGB")
    for name in names:
        edited = EDITS[name](edited, draw)
    out = io.BytesIO()
    quality = int(draw.integers(*_QUALITY, endpoint=True))
    edited.convert(image.mode).save(out, "JPEG", quality=quality)
    return names, out.getvalue()


def _copy(
    source: Source, key: str, folder: Path, copies: int, edits: Sequence[str], seed: int
) -> int | Skipped:
    """Writes the class of one picture; the bytes written, or why there is none."""
    try:
        original = source.read(key)
        image = decode(original)
    except (ImageError, DataError) as error:
        return Skipped(key, str(error))
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    files = {f"original{PurePosixPath(key).suffix.lower()}": original}
    for number in range(1, copies + 1):
        digest = hashlib.sha256(f"{seed}\0{number}\0{key}".encode()).digest()
        draw = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
        names, copy = make_copy(image, edits, draw)
        files["-".join((str(number), *names)) + ".jpg"] = copy
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sum(map(len, files.values()))


def _names(keys: Sequence[str]) -> list[str]:
    """A class's name for each file: its path in one word, numbered where two would be alike."""
    names: dict[str, None] = {}
    for key in keys:
        whole = " - ".join(PurePosixPath(key).parts)
        # What begins with a dot where it is cut would be hidden from whoever looks for classes.
        name = whole = whole.encode()[-_LONGEST_NAME:].decode(errors="ignore").lstrip(".")
        number = 1
        while name in names:
            number += 1
            name = f"{whole} ({number})"
        names[name] = None
    return list(names)


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it, and goes where what is done in it fails."""
    if out.exists():
        raise DataError(f"{out} is there already; remove it, or give --out another name")
    parent = out.resolve().parent
    if not parent.is_dir():
        raise DataError(f"{out} cannot be written: give --out a name in a folder that exists")
    try:
        with incoming_folder(parent, f".{out.name}.incoming") as incoming:
            if incoming.others:
                raise DataError(
                    f"another process is writing {out}; wait for it, or give --out another name"
                )
            yield incoming.folder
            incoming.folder.rename(out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror or error}); give --out another place"
        ) from error
