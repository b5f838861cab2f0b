"""Keeps converted networks on disk, so that a restart need not convert again."""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import stat
import time
from importlib.metadata import version
from pathlib import Path

import openvino as ov

from app.inference.engines.conversion import ConversionFailed, convert
from app.inference.engines.eight_bits import adds_up
from app.inference.engines.openvino_runtime import runtime
from app.inference.engines.quantising import quantised
from app.inference.engines.rounding import rounded
from app.observability.logs import fields
from model_store import Checkpoint
from model_store.files import sha256_of
from model_store.incoming import incoming_folder
from model_store.network import Side
from model_store.pictures import drawn

_logger = logging.getLogger(__name__)

# Changes with what `convert`, `rounded` and `quantised` make of a network.
_FORMAT = 3

_PICTURES = 8
"""Drawn for `int8`. With the four of a probe, embeddings of photos come out less like those in
float32, and with sixteen no more like them (docs/performance.md)."""

_KEPT = 64
_UNUSED_SECONDS = 30 * 24 * 3600
"""How many entries stay in any case, and the age from which more go. By number alone, a store that
needs more of them than that (two for each model in less than float32) would lose, one after the
other, those that the same start was about to read, and each start would convert all of them again.
"""

_KEPT_BYTES = 2 << 30
_IDLE_SECONDS = 24 * 3600
"""How large the entries may be together, and the age up to which they may be larger. Hourly
training fills any volume within the other age; but a start of a store that needs more than that
must not lose what it has only just read or made."""

_MODEL, _WEIGHTS, _DIGEST = "model.xml", "model.bin", "digest"
_INCOMING = ".incoming-"


class ConvertedModels:
    """A folder of converted networks, each in a folder of its own named after what it was made of.

    Where the folder cannot be used, networks are converted every time, and the log says so.

    Args:
        folder: Made if it is not there, for this user alone; one that others may write to is not
            used, because what lies in it is run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, checkpoint: Checkpoint, side: Side, precision: str = "float32") -> ov.Model:
        """A branch in OpenVINO's form, from the folder or made anew.

        Args:
            checkpoint: The network.
            side: Whose branch.
            precision: `float32`; `bfloat16` for one whose weights are rounded to it; `int8` for one
                whose convolutions are.

        Raises:
            ConversionFailed: It cannot be converted, or this CPU cannot compute it.
        """
        _check_possible(precision)
        key = _key(checkpoint, side, precision)
        about = fields(model=checkpoint.manifest.name, folder=str(self._folder / key))
        model = self._read(key)
        if model is not None:
            _logger.debug("converted network found", extra=about)
            return model
        model = self._made(checkpoint, side, precision)
        try:
            self._write(key, model)
        except (OSError, RuntimeError) as error:
            _logger.warning(
                "the converted network cannot be kept, and a restart will convert again: %s; "
                "name a folder of this user's own in TWINLENS_ENGINE_CACHE",
                error,
                extra=about,
            )
        return model

    def folder(self, checkpoint: Checkpoint) -> Path:
        """Where a network lies, and what else is known of it; there only if it could be kept.

        It counts as used, though what is rounded from it may be all that is read.
        """
        folder = self._folder / _key(checkpoint, Side.LEFT)
        _touch(folder)
        return folder

    def put(self, checkpoint: Checkpoint, side: Side, precision: str = "float32") -> None:
        """Converts a branch ahead of its use, unless the folder has it.

        Raises:
            ConversionFailed: It cannot be converted, or this CPU cannot compute it.
            OSError: The folder cannot be written to, or others could write to it.
        """
        _check_possible(precision)
        key = _key(checkpoint, side, precision)
        if self._read(key) is None:
            self._write(key, self._made(checkpoint, side, precision))

    def _made(self, checkpoint: Checkpoint, side: Side, precision: str) -> ov.Model:
        if precision == "float32":
            return convert(checkpoint.network, side)
        exact = self.get(checkpoint, side)
        try:
            if precision == "int8":
                network = checkpoint.network
                pictures = drawn(network.preprocessing, network.subject, _PICTURES)
                return quantised(exact, pictures)
            return rounded(exact, checkpoint.reference.images)
        except RuntimeError as error:
            raise ConversionFailed(
                f"OpenVINO cannot make this network one for {precision} ({error}); set "
                "TWINLENS_PRECISION=auto"
            ) from error

    def _read(self, key: str) -> ov.Model | None:
        folder = self._folder / key
        try:
            _check_private(self._folder)
            if (folder / _DIGEST).read_text() != _digest(folder):
                _logger.warning("%s is damaged; converting again", folder)
                return None
            model = runtime().read_model(folder / _MODEL)
            _touch(folder)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RuntimeError) as error:
            _logger.warning("a converted network is not used: %s; converting again", error)
            return None
        return model

    def _write(self, key: str, model: ov.Model) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self._folder)
        with incoming_folder(self._folder, _INCOMING, mode=0o700) as incoming:
            ov.save_model(model, incoming.folder / _MODEL, compress_to_fp16=False)
            (incoming.folder / _DIGEST).write_text(_digest(incoming.folder))
            shutil.rmtree(self._folder / key, ignore_errors=True)
            try:
                incoming.folder.rename(self._folder / key)
            except OSError as error:
                # Another process was quicker, and has put the same there.
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
        self._forget_unused()

    def _forget_unused(self) -> None:
        used = [
            (entry.stat().st_mtime, entry)
            for entry in self._folder.iterdir()
            if not entry.name.startswith(_INCOMING)
        ]
        size = 0
        for number, (last, entry) in enumerate(sorted(used, reverse=True), start=1):
            size += _size(entry)
            idle = time.time() - last
            too_many = number > _KEPT and idle > _UNUSED_SECONDS
            if too_many or (size > _KEPT_BYTES and idle > _IDLE_SECONDS):
                shutil.rmtree(entry, ignore_errors=True)


def _check_possible(precision: str) -> None:
    """Also of what is there already: a CPU that could has made it."""
    if precision != "int8":
        return
    try:
        possible = adds_up()
    except RuntimeError as error:
        raise ConversionFailed(
            f"OpenVINO cannot compute in eight bits here ({error}); set TWINLENS_PRECISION=auto"
        ) from error
    if not possible:
        raise ConversionFailed(
            "this CPU loses a part of what products of eight bits come to (it has no VNNI), so "
            "that TWINLENS_PRECISION=int8 is not for it; set TWINLENS_PRECISION=auto"
        )


def _size(folder: Path) -> int:
    """Bytes of a folder's files; none where another process has removed it."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except OSError:
        return 0


def _touch(folder: Path) -> None:
    """Says that it is used, so that it stays."""
    with contextlib.suppress(OSError):  # An image's own folder may be read-only.
        os.utime(folder)


def _key(checkpoint: Checkpoint, side: Side, precision: str = "float32") -> str:
    """Names all that the result depends on."""
    manifest = checkpoint.manifest
    parts = (
        str(_FORMAT),
        manifest.weights.sha256,
        manifest.network.model_dump_json(),
        manifest.preprocessing.model_dump_json(),
        side,
        precision,
        *(f"{library} {version(library)}" for library in ("openvino", "torch", "twinlens")),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _digest(folder: Path) -> str:
    return f"{sha256_of(folder / _MODEL)} {sha256_of(folder / _WEIGHTS)}"


def _check_private(folder: Path) -> None:
    """Refuses a folder that another user could have put something in."""
    if os.name != "posix":
        return
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{folder} belongs to another user or can be written to by others")
