"""Finding a part of a network by the name that a manifest or recipe gives it, and building it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from model_store.errors import StoreError, UnknownComponent

T = TypeVar("T")

# PyTorch and the libraries of networks have no error of their own for what cannot be: a negative
# width is a RuntimeError, a share above 1 a ValueError, an image of the wrong size may fail an
# assertion.
_IMPOSSIBLE = (
    ArithmeticError,
    AssertionError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


def find(table: Mapping[str, T], kind: str, name: str) -> T:
    """The entry of that name.

    Raises:
        UnknownComponent: There is none; the message lists those there are.
    """
    try:
        return table[name]
    except KeyError:
        known = ", ".join(sorted(table))
        raise UnknownComponent(
            f"no {kind} is called '{name}' in this Twinlens (known: {known}); correct the name, "
            "or use the Twinlens version that wrote it"
        ) from None


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Says of a part that cannot be built or run which one it is, and why.

    Args:
        what: The part and what cannot be done with it.

    Raises:
        StoreError: It cannot.
    """
    try:
        yield
    except _IMPOSSIBLE as error:
        raise StoreError(f"{what}: {error or type(error).__name__}") from error
