"""Files of a folder that are no images by their name: counted by their endings, and told."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from training.naming import one_line

OtherFiles = Counter[str]
"""How many files have each ending, in small letters; empty for none."""

_NAMED = 5
_PICTURES_NOT_READ = frozenset(
    {".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".ico"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)


def counted(paths: Iterable[PurePosixPath]) -> OtherFiles:
    """Counts files by how their names end."""
    return Counter(path.suffix.lower() for path in paths)


def told_other_files(files: OtherFiles) -> str:
    """What is to be said of them, in one line; empty if there are none."""
    if not files:
        return ""
    named = ", ".join(
        f"{count:,} {one_line(ending) or 'without an ending'}"
        for ending, count in files.most_common(_NAMED)
    )
    more = ", …" if len(files) > _NAMED else ""
    told = f"{files.total():,} file(s) whose names do not end as images' names do ({named}{more})"
    pictures = sorted(_PICTURES_NOT_READ.intersection(files))
    if pictures:
        told += f"; {', '.join(pictures)} cannot be read: save those pictures as JPEG or PNG"
    return told
