"""The versions of a model: numbered folders in one of its name, each added whole or not at all.

No number is given twice for as long as the model's folder is there, or what is known by a model's
name and version, such as embeddings that were kept, could be another's. So the highest number that
was given lies beside the versions.

That record needs a lock on the folder. That a version comes after the one it was made for does not:
some file systems have no locks, or each machine its own. It is recorded only once it is there, and
the record is read before the versions are listed. So of two who found no newer version, both want
the same number, and only one can rename a folder to it; the other looks again.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from model_store import manifest as manifests
from model_store.checkpoint import MANIFEST, files_in
from model_store.errors import StoreError
from model_store.files import make_folder, replace_file, sync_folder, write_durably
from model_store.incoming import incoming_folder
from model_store.locks import locked
from model_store.manifest import Manifest

_INCOMING = ".incoming-"
_HIGHEST = ".highest"


def versions_in(folder: Path) -> list[int]:
    """The versions that a model's folder holds, oldest first; none if it is not there.

    Raises:
        OSError: It cannot be listed.
    """
    try:
        entries = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(entry) for entry in entries if entry.isascii() and entry.isdecimal())


@contextlib.contextmanager
def incoming_version(parent: Path) -> Iterator[Path]:
    """A new folder beside a model's versions, for one that is being written; gone at the end.

    What others have left there who were killed while they wrote is removed.

    Raises:
        StoreError: Something in it could not be written.
    """
    with _told(parent):
        make_folder(parent)
        with incoming_folder(parent, _INCOMING) as incoming:
            yield incoming.folder


def publish_version(incoming: Path, draft: Manifest, *, after: int | None = None) -> int:
    """Renames a folder to the next version, however many others try the same.

    Args:
        incoming: From `incoming_version`, with all but the manifest in it.
        draft: The manifest, but for the version.
        after: The version that must still be the newest, if one must.

    Returns:
        The version it became.

    Raises:
        StoreError: There is a newer version than `after`.
    """
    parent = incoming.parent
    with locked(parent):
        while True:
            given = highest_given(parent)
            newest = max(versions_in(parent), default=0)
            if after is not None and newest > after:
                raise StoreError(
                    f"'{draft.name}' has a version {newest} by now, with weights that may be "
                    f"others than those of version {after}, which this was made for; do it again "
                    f"for version {newest}"
                )
            version = max(given, newest) + 1
            manifest = draft.model_copy(update={"version": version})
            (incoming / MANIFEST).unlink(missing_ok=True)
            write_durably(incoming / MANIFEST, manifests.to_bytes(manifest))
            if _put(incoming, version):
                return version


def copy_version(folder: Path, parent: Path) -> bool:
    """Copies a version into the folder of a model, under the number it has.

    Returns:
        Whether it was; not where one of that number is there.

    Raises:
        CheckpointDamaged: A file of it cannot be read.
        StoreError: It cannot be written.
    """
    with incoming_version(parent) as incoming:
        for name, data in files_in(folder):
            write_durably(incoming / name, data)
        with locked(parent):
            return _put(incoming, int(folder.name))


def highest_given(folder: Path) -> int:
    """The highest number that is known to have been given in a model's folder; 0 if none is.

    Raises:
        OSError: What says so cannot be read.
    """
    try:
        return int((folder / _HIGHEST).read_bytes())
    # Not there yet; or not from here.
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0


def give_no_more(folder: Path, version: int) -> None:
    """Has no number up to one given again in a model's folder, as if all had been given.

    Raises:
        StoreError: That cannot be written.
    """
    with _told(folder):
        # Only to see that all is as it should be, nobody needs rights to write.
        if version > highest_given(folder):
            with locked(folder):
                _record_given(folder, version)


@contextlib.contextmanager
def _told(parent: Path) -> Iterator[None]:
    """Says what is wrong where a model's folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write a checkpoint under {parent}: {error.strerror or error}; "
            "free space or mend the permissions and try again"
        ) from error


def _put(incoming: Path, version: int) -> bool:
    """Gives a folder that is complete its number, unless it is taken.

    Only for who holds the lock of the folder that it is in.
    """
    final = incoming.with_name(str(version))
    sync_folder(incoming)
    try:
        incoming.rename(final)
    except OSError:
        if final.exists():
            return False
        raise
    sync_folder(final.parent)
    # It is there, whether or not that can be recorded.
    with contextlib.suppress(OSError):
        _record_given(final.parent, version)
    return True


def _record_given(folder: Path, version: int) -> None:
    """Has a number given, and all below it. Only for who holds the folder's lock."""
    if version > highest_given(folder):
        replace_file(folder / _HIGHEST, b"%d\n" % version)
