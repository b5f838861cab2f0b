"""Finding a part of a network by the name that a manifest or recipe gives it."""

from collections.abc import Mapping
from typing import TypeVar

from model_store.errors import UnknownComponent

T = TypeVar("T")


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
