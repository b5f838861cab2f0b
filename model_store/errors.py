"""What can go wrong with a model or an image, as one hierarchy that callers can catch.

Every message says what is wrong, where, and what to do about it: it is shown to users as it is.
"""


class TwinlensError(Exception):
    """Base of every error that Twinlens raises on purpose."""


def first_line(error: Exception) -> str:
    """The first line of what an error says, which libraries may follow by many; else its kind."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


class StoreError(TwinlensError):
    """A model store, or something in it, cannot be used."""


class InvalidName(StoreError):
    """A model name holds characters that have no place in a folder name or a URL."""


class ModelNotFound(StoreError):
    """The store holds no model, or no version of a model, of that name."""


class CheckpointDamaged(StoreError):
    """A file of a checkpoint is missing, unreadable, or not what its digest says."""


class FormatTooNew(StoreError):
    """The manifest was written by a newer Twinlens, in a format this one cannot read."""


class UnknownComponent(StoreError):
    """A specification names a backbone or comparator that this Twinlens does not have."""


class ImageError(TwinlensError):
    """An image cannot be used."""


class UnsupportedImageType(ImageError):
    """The bytes are not an image of a type that is read."""


class UndecodableImage(ImageError):
    """The bytes begin like an image, but cannot be decoded."""


class ImageTooLarge(ImageError):
    """The image declares more pixels than the limit."""
