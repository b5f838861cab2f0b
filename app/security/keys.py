"""API keys: made here, kept as digests only, compared in constant time.

A key is `tl_<id>_<secret>`. Its secret has 256 random bits, so that one round of SHA-256 is all the
hashing it needs: there is nothing to guess, unlike with a password.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.errors import TwinlensError
from model_store.files import MOST_TEXT, read_data, replace_file
from model_store.locks import locked

_logger = logging.getLogger(__name__)

MAX_NAME = 100
"""Characters that a key's name may have."""

_KEY = re.compile(r"tl_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_LOOK_SECONDS = 1.0
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class KeyFileError(TwinlensError):
    """The file of keys cannot be read or written."""


class Scope(StrEnum):
    """What a key may be used for; an admin key may be used for everything."""

    READ = "read"
    ADMIN = "admin"


class KeyRecord(BaseModel):
    """What is kept of a key.

    Attributes:
        id: The key's public part.
        name: Whose it is.
        scope: What it may be used for.
        sha256: Of its secret.
        created: When it was made.
        images_per_second: Goes before the `RATE_LIMIT` setting; 0 for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    scope: Scope = Scope.READ
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: datetime
    images_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[KeyRecord, ...] = ()


def new_key(
    name: str, scope: Scope = Scope.READ, images_per_second: float | None = None
) -> tuple[str, KeyRecord]:
    """A new key, which nobody can show again, and what to keep of it."""
    identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    record = KeyRecord(
        id=identity,
        name=name,
        scope=scope,
        sha256=_digest(secret),
        created=datetime.now(UTC).replace(microsecond=0),
        images_per_second=images_per_second,
    )
    return f"tl_{identity}_{secret}", record


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """The keys of a file.

    Raises:
        KeyFileError: It cannot be read, or is not a file of keys.
    """
    try:
        return _KeyFile.model_validate_json(read_data(path, MOST_TEXT)).keys
    except OSError as error:
        raise KeyFileError(
            f"the file of API keys {path} cannot be read ({error.strerror}); make one with "
            "python -m app key create NAME --file FILE"
        ) from error
    except ValidationError as error:
        where = "; ".join(
            ": ".join(filter(None, (".".join(map(str, part["loc"])), part["msg"])))
            for part in error.errors()
        )
        raise KeyFileError(f"{path} is not a file of API keys ({where})") from None


def write_keys(path: Path, keys: tuple[KeyRecord, ...]) -> None:
    """Replaces a file of keys; a new one is readable to its owner only.

    Raises:
        KeyFileError: It cannot be written, or not so that it stays its owner's.
    """
    content = _KeyFile(keys=keys).model_dump(mode="json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat() if path.exists() else None
        replace_file(
            path,
            (json.dumps(content, indent=2) + "\n").encode(),
            prepare=lambda incoming: _keep_readable(incoming, before),
        )
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written ({error.strerror})") from error


def add_key(path: Path, record: KeyRecord) -> None:
    """Adds a key to a file, which is made if it is not there.

    Raises:
        KeyFileError: As `read_keys` and `write_keys`.
    """
    with _alone_in(path.parent, make=True):
        there = read_keys(path) if path.exists() else ()
        write_keys(path, (*there, record))


def revoke_key(path: Path, identity: str) -> None:
    """Takes a key out of a file.

    Raises:
        KeyFileError: The file holds none of that id; or as `read_keys` and `write_keys`.
    """
    with _alone_in(path.parent):
        there = read_keys(path)
        left = tuple(record for record in there if record.id != identity)
        if len(left) == len(there):
            raise KeyFileError(
                f"{path} holds no key with the id '{identity}'; python -m app key list --file "
                f"{path} shows the ids"
            )
        write_keys(path, left)


@contextlib.contextmanager
def _alone_in(folder: Path, *, make: bool = False) -> Iterator[None]:
    """Keeps other commands from changing a file in the folder between a read and a write of it.

    The folder has the lock: the file is another one after each change, and a further one for the
    lock would belong to whoever came first.

    Raises:
        KeyFileError: The folder cannot be opened, or made, or locked.
    """
    with contextlib.ExitStack() as held:
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            alone = held.enter_context(locked(folder))
        except OSError as error:
            raise KeyFileError(
                f"the folder {folder} cannot be opened ({error.strerror})"
            ) from error
        if not alone:
            raise KeyFileError(
                f"the folder {folder} cannot be locked, and of two changes at once one could be "
                "lost; keep the file of keys on a local disk of Linux or macOS"
            )
        yield


def _keep_readable(incoming: Path, before: os.stat_result | None) -> None:
    """Gives a file of keys to those who could read the one before.

    Whoever writes it may be root, and a service that could not read it would go on letting in
    revoked keys.

    Raises:
        KeyFileError: This user may not give files away.
    """
    if before is None:
        incoming.chmod(0o600)
        return
    made = incoming.stat()
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.chown(incoming, before.st_uid, before.st_gid)
        except PermissionError as error:
            raise KeyFileError(
                f"the file of API keys is user {before.st_uid}'s and group {before.st_gid}'s and "
                "could not stay so; run this as that user, or as root"
            ) from error
    incoming.chmod(stat.S_IMODE(before.st_mode))


class Keyring:
    """The keys that are good now: those of a file, looked at again when it changes.

    Its methods may be called from any thread: a request asks for keys, and a scrape how old they
    are. A file that cannot be read is tried again every second, and leaves the keys as they were.

    Args:
        path: The file.

    Raises:
        KeyFileError: As `read_keys`; later changes that cannot be read leave the keys as they were.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stale = False
        self._refreshing = Lock()
        self._stamp = self._complained_of = self._now()
        self._keys = {record.id: record for record in read_keys(path)}
        self._looked = monotonic()

    def find(self, key: str) -> KeyRecord | None:
        """What is known of a key; None if it is not good."""
        self._refresh()
        match = _KEY.fullmatch(key)
        record = self._keys.get(match[1]) if match else None
        # An unknown key takes the same way, so that nothing can be learned from the time.
        secret = match[2] if match else ""
        good = hmac.compare_digest(_digest(secret), record.sha256 if record else _NOBODY)
        return record if good else None

    @property
    def stale(self) -> bool:
        """Whether the last change could not be read."""
        # Also where nobody has come with a key since the file was mended.
        self._refresh()
        return self._stale

    def _refresh(self) -> None:
        # Who comes while another thread reads waits for it: the keys of before may be revoked.
        with self._refreshing:
            if monotonic() - self._looked > _LOOK_SECONDS:
                self._look()

    def _look(self) -> None:
        self._looked = monotonic()
        stamp = self._now()
        if stamp == self._stamp:
            # Also where it was away, or another, and is back as it was read.
            self._stale, self._complained_of = False, stamp
            return
        try:
            self._keys = {record.id: record for record in read_keys(self._path)}
        except KeyFileError:
            self._stale = True
            if stamp != self._complained_of:
                _logger.exception("the API keys stay as they were, revoked ones too")
            self._complained_of = stamp
        else:
            self._stale = False
            _logger.info("%d API keys read anew", len(self._keys))
            self._stamp = self._complained_of = stamp

    def _now(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
