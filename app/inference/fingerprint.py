"""What tells whether the files of a model's version are as they were."""

import contextlib
from pathlib import Path

from model_store.checkpoint import MANIFEST
from model_store.files import sha256_of

Fingerprint = tuple[str | None, tuple[tuple[str, int, int], ...]]


def fingerprint(folder: Path) -> Fingerprint:
    """Changes when a file of the folder does.

    Names, sizes and times alone would not: builds that can be repeated give every file the same
    time. Numbers of inodes would, but some network volumes give a file a new one at any time.
    """
    manifest, digest = folder / MANIFEST, None
    with contextlib.suppress(OSError):
        # It has the digests of the others.
        digest = sha256_of(manifest) if manifest.is_file() else None
    found = []
    try:
        for file in sorted(folder.iterdir()):
            status = file.stat()
            found.append((file.name, status.st_size, status.st_mtime_ns))
    except OSError:
        pass
    return digest, tuple(found)
