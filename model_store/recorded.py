"""A file beside a manifest, and what the manifest says of its bytes."""

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model_store.errors import StoreError

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileRecord(BaseModel):
    """What a manifest says of a file beside it.

    Attributes:
        sha256: Digest of the file's bytes.
        bytes: Its size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]


def is_recorded(data: bytes, record: FileRecord) -> bool:
    """Whether these are the bytes that a record is of."""
    return len(data) == record.bytes and hashlib.sha256(data).hexdigest() == record.sha256


def check_recorded(data: bytes, record: FileRecord) -> None:
    """Refuses bytes that a record is not of.

    Raises:
        StoreError: These are such; the message does not say of which file.
    """
    if not is_recorded(data, record):
        raise StoreError("it is not the file that the manifest describes")
