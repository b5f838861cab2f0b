"""What a body may hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may hold.

    Attributes:
        body_bytes: All of it.
        part_bytes: One part of a multipart body.
        parts: Parts of a multipart body.
        whole: Fields of a multipart body that only `body_bytes` bounds.
    """

    body_bytes: int
    part_bytes: int
    parts: int
    whole: frozenset[str] = frozenset()
