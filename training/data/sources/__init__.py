"""Where image files lie: a folder, or a zip archive read as it is, from any thread or process."""

import zipfile
from pathlib import Path

from training.data.sources.archive import ZipSource
from training.data.sources.base import Files, Skipped, Source, printable, shown
from training.data.sources.folder import FolderSource
from training.errors import DataError

__all__ = ["Files", "FolderSource", "Skipped", "Source", "ZipSource", "open_source"]

_ZIP_BEGINS = b"PK\x03\x04"


def open_source(path: Path) -> Source:
    """The files at a path: a folder, a zip, or a folder inside a zip (`data.zip/inner/folder`).

    Raises:
        DataError: Nothing of the kind is there, or its path is not valid Unicode.
    """
    # Manifests, split and card will hold it, and are written when hours of work are done.
    if not printable(str(path)):
        raise DataError(
            f"the path {shown(str(path))} is not valid Unicode, which a model's files cannot hold; "
            "rename what is on it"
        )
    try:
        return _source(path)
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read ({error.strerror or error}); check the path "
            "given as data, and that this user may read it"
        ) from error


def _source(path: Path) -> Source:
    if path.is_dir():
        return FolderSource(path)
    for candidate in (path, *path.parents):
        if candidate.is_file():
            if not zipfile.is_zipfile(candidate):
                with candidate.open("rb") as file:
                    begun = file.read(len(_ZIP_BEGINS)) == _ZIP_BEGINS
                if begun:
                    raise DataError(
                        f"{candidate} begins as a zip archive and does not end as one: it is cut "
                        "short or damaged; fetch or make it again"
                    )
                raise DataError(
                    f"{candidate} is neither a folder nor a zip archive; give a folder of images "
                    "(class/image or group/class/image) or a zip of one"
                )
            inside = path.relative_to(candidate).as_posix()
            return ZipSource(candidate, "" if inside == "." else inside)
    raise DataError(f"{path} is not there; check the path given as data")
