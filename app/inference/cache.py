"""Embeddings of images seen before, the least recently used forgotten first."""

from collections import OrderedDict
from hashlib import blake2b

from app.inference.rows import Row

Key = tuple[bytes, str]

# A dictionary entry, its key, a row and an array object, as tracemalloc counts them.
_ENTRY_BYTES = 500
_DIGEST_BYTES = 20


def cache_key(data: bytes, model: str) -> Key:
    """What an embedding is remembered by.

    Args:
        data: The encoded image.
        model: What identifies weights, preprocessing and side.
    """
    return (blake2b(data, digest_size=_DIGEST_BYTES).digest(), model)


class EmbeddingCache:
    """A mapping bounded in bytes. Used from one thread only.

    Args:
        max_bytes: The bound; 0 for a cache that keeps nothing.

    Attributes:
        bytes: What the entries take, an estimate of their overhead included.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rows: OrderedDict[Key, Row] = OrderedDict()
        self.bytes = 0

    @property
    def enabled(self) -> bool:
        """Whether anything can be kept at all."""
        return self._max_bytes > 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Key) -> Row | None:
        """What is known of the image, now the most recently used; or None."""
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def put(self, key: Key, row: Row) -> None:
        """Keeps a row, and forgets others as the bound demands.

        Args:
            key: From `cache_key`.
            row: Its embedding must own its memory, or what it is a view of would be kept with it.
        """
        old = self._rows.pop(key, None)
        if old is not None:
            self.bytes -= _size(old)
        size = _size(row)
        if size > self._max_bytes:
            return
        self._rows[key] = row
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, forgotten = self._rows.popitem(last=False)
            self.bytes -= _size(forgotten)


def _size(row: Row) -> int:
    return row.embedding.nbytes + _ENTRY_BYTES
