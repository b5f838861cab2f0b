"""Takes images, names and embeddings out of a body's fields."""

import binascii
import contextlib
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from fastapi import Request

from app.api.problem import BadRequest
from app.api.uploads import Body
from app.inference.embedder import EncodedImage, check_size
from app.inference.engines.base import Embeddings
from app.inference.errors import TooManyBytes
from app.inference.threads import for_each
from model_store.errors import UnsupportedImageType
from model_store.network import Side

_MAX_NAMES_SHOWN = 5
_MAX_TEXT = 200
_MAX_PARAMETERS = 64
_WHITESPACE = b" \t\r\n"
_PATH = re.compile(rb"[\w~./ -]{1,200}\.[A-Za-z]{3,4}")


def check_query(request: Request) -> None:
    """Refuses a query string that would hold up the event loop while it is parsed.

    Raises:
        BadRequest: It has too many parameters.
    """
    if request.scope["query_string"].count(b"&") >= _MAX_PARAMETERS:
        raise BadRequest(
            f"the query string has more than {_MAX_PARAMETERS} parameters; send each of the "
            "route's once"
        )


def parameters_of(request: Request) -> list[tuple[str, str]]:
    """The query string's parameters, in order.

    Raises:
        BadRequest: As `check_query`.
    """
    check_query(request)
    return request.query_params.multi_items()


@dataclass(frozen=True)
class FieldNames:
    """Names of the fields that a route reads.

    Attributes:
        required: Of those that must be there.
        others: Of those that may be.
        parameters: Of those that may be there or in the query string.
        expected: What to send, for messages.
        raw: Of the field that a body of type `image/*` is taken for; None where none is.
    """

    required: tuple[str, ...]
    expected: str
    others: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    raw: str | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.required, *self.others, *self.parameters)


class Fields:
    """The fields of a request.

    Args:
        body: What was read.
        query: The query string's parameters, in order; each is one more value of a text field.
        names: Of the fields that the route reads.
        max_image_bytes: Most bytes of an image that comes as base64.

    Raises:
        BadRequest: A field is missing, or a field or parameter unknown.
    """

    def __init__(
        self,
        body: Body,
        query: Sequence[tuple[str, str]],
        names: FieldNames,
        max_image_bytes: int,
    ) -> None:
        self._body = body
        self._query = query
        self._max_image_bytes = max_image_bytes
        known = names.known
        unknown = [name for name in body.fields if name not in known]
        missing = [name for name in names.required if name not in body.fields]
        required = ", ".join(names.required)
        wants = f"this route reads {', '.join(known)} (required: {required})"
        if missing:
            found = _shown([*body.fields]) or "no fields"
            raise BadRequest(f"missing: {', '.join(missing)}; {wants}; the body has {found}")
        if unknown:
            raise BadRequest(f"unknown: {_shown(unknown)}; {wants}")
        strange = [name for name, _ in query if name not in names.parameters]
        if strange:
            raise BadRequest(
                f"unknown in the query string: {_shown(strange)}; this route reads "
                f"{', '.join(names.parameters)} there"
            )

    def values(self, name: str) -> list[object]:
        """All values of a field, as they came."""
        return self._body.fields.get(name, [])

    def text(self, name: str) -> str | None:
        """The text of a field, or of the query parameter of that name; None for neither or empty.

        Programs that are made from the OpenAPI document may fill in both, or leave one empty.

        Raises:
            BadRequest: It is not text, or there are several that differ.
        """
        values = [*self.values(name), *(value for key, value in self._query if key == name)]
        texts = {_text(name, value) for value in values} - {""}
        if len(texts) > 1:
            raise BadRequest(
                f"{name}: given {len(texts)} different values; give one, in the body or the query "
                "string"
            )
        return texts.pop() if texts else None

    def side(self) -> Side:
        """The side given in the field `side`; left if none is.

        Raises:
            BadRequest: It is neither `left` nor `right`.
        """
        value = self.text("side") or Side.LEFT
        try:
            return Side(value)
        except ValueError:
            raise BadRequest(f"side: must be 'left' or 'right', not '{value[:50]}'") from None

    async def image(self, name: str, side: Side) -> EncodedImage:
        """The one image of a field.

        Raises:
            BadRequest: There is not exactly one, or it is empty or not base64.
            TooManyBytes, UnsupportedImageType: As `images`.
        """
        count = len(self.values(name))
        if count != 1:
            raise BadRequest(f"{name}: {count:,} images; send exactly one")
        (image,) = await self.images(name, side)
        return image

    async def images(self, name: str, side: Side) -> list[EncodedImage]:
        """All images of a field, labelled `name[0]` and so on.

        Base64 is decoded here: how many there are must be checked before.

        Raises:
            BadRequest: One is empty or not base64.
            TooManyBytes: One in base64 is over the limit.
            UnsupportedImageType: One is the name of a file.
        """
        values = self.values(name)

        def image(index: int) -> EncodedImage:
            label = f"{name}[{index}]" if len(values) > 1 else name
            data = values[index]
            if not isinstance(data, bytes):
                data = _from_base64(label, data, self._max_image_bytes)
            if not data:
                raise BadRequest(f"{label}: the image is empty; send a file that has content")
            _check_not_a_path(label, data)
            return EncodedImage(label, data, side)

        texts = [len(value) if isinstance(value, str) else 0 for value in values]
        return await for_each(image, texts)


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise BadRequest(f"{name}: must be text of at most {_MAX_TEXT} characters")
    return value.strip()


def _shown(names: Sequence[str]) -> str:
    """Names for a message, which a client may have chosen: not too long ones, nor too many."""
    return ", ".join(repr(name[:50]) for name in names[:_MAX_NAMES_SHOWN])


def is_embedding(value: object) -> bool:
    """Whether a JSON value is meant as an embedding and not as an image."""
    return isinstance(value, list)


def check_nested(label: str, values: Sequence[object]) -> None:
    """Refuses one embedding where several are wanted, and embeddings among images.

    Args:
        label: What messages call them.
        values: Of a JSON field that holds embeddings or images.

    Raises:
        BadRequest: Numbers stand where an embedding or an image should, or both kinds are there.
    """
    if any(isinstance(value, (int, float)) for value in values):
        raise BadRequest(
            f"{label}: numbers stand where embeddings should; send a list of embeddings, each a "
            "list of numbers, even if it is one: [[…]]"
        )
    if len({is_embedding(value) for value in values}) > 1:
        raise BadRequest(f"{label}: do not mix embeddings and images; send them in two requests")


def embedding_from_json(label: str, values: list[object]) -> Embeddings:
    """One embedding, given as a list of numbers.

    Returns:
        float32 (dimension,); numbers beyond float32's range become infinite.

    Raises:
        BadRequest: Not a list of numbers.
    """
    return np.array(_numbers(label, values), np.float32)


def embeddings_from_json(label: str, values: list[object]) -> Embeddings:
    """Embeddings given as lists of numbers.

    Returns:
        float32 (N, dimension); numbers beyond float32's range become infinite.

    Raises:
        BadRequest: Not lists of numbers, or not all of one length.
    """
    first = values[0] if values else None
    width = len(first) if isinstance(first, list) else 0
    # All of them first: memory for as many rows as wide as the first could be without bounds.
    for index, value in enumerate(values):
        if not isinstance(value, list) or len(value) != width or not width:
            raise BadRequest(
                f"{label}[{index}]: every embedding must be a list of as many numbers as the "
                "first one has"
            )
    rows = np.empty((len(values), width), np.float32)
    for index, value in enumerate(values):
        rows[index] = _numbers(f"{label}[{index}]", value)
    return rows


def embeddings_from_bytes(label: str, data: npt.NDArray[np.uint8], dimension: int) -> Embeddings:
    """Embeddings given as raw little-endian float32, as `/embed` gives them.

    Args:
        label: What messages call them.
        data: uint8 (bytes,).
        dimension: Values of each.

    Returns:
        float32 (N, dimension), on the same memory where the machine is little-endian.

    Raises:
        BadRequest: Not a whole number of embeddings.
    """
    if not len(data) or len(data) % (4 * dimension):
        raise BadRequest(
            f"{label}: {len(data):,} bytes are not a whole number of embeddings of {dimension} "
            "little-endian float32 values each"
        )
    rows: Embeddings = data.view("<f4").astype(np.float32, copy=False)
    return rows.reshape(-1, dimension)


def check_count(label: str, count: int, limit: int) -> None:
    """Refuses more than a limit.

    Raises:
        TooManyBytes: There are more.
    """
    if count > limit:
        raise TooManyBytes(f"{label}: {count:,} are over the limit of {limit:,}; send fewer")


def _numbers(label: str, value: object) -> "array[float]":
    if isinstance(value, list):
        # `/embed` answers with a list of embeddings, even if it is one.
        if value and is_embedding(value[0]):
            raise BadRequest(
                f"{label}: a list of lists stands where one embedding should; send one list of "
                "numbers: […]"
            )
        # NumPy would make texts of all numbers that a text stands among, each as long as that one:
        # of 200 kB, 800 MB.
        if not all(isinstance(number, bool) for number in value):
            with contextlib.suppress(TypeError):
                return array("f", value)
    raise BadRequest(f"{label}: an embedding must hold numbers only")


def _check_not_a_path(label: str, data: bytes) -> None:
    """Tells those who sent a file's name in place of its content, as curl does without an @."""
    if _PATH.fullmatch(data):
        name = data.decode("ascii")
        raise UnsupportedImageType(
            f"{label}: not an image of a type that is read, but the name '{name}'; send the file's "
            f"content (with curl: @{name})"
        )


def _from_base64(label: str, value: object, max_bytes: int) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(f"{label}: must be an image as base64 text")
    text = value
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        encoded = text.encode("ascii")
        # Looking for it costs next to nothing, and few texts have any.
        if any(sign in encoded for sign in _WHITESPACE):
            encoded = encoded.translate(None, _WHITESPACE)
        check_size(label, len(encoded) // 4 * 3 - encoded[-2:].count(b"="), max_bytes)
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError):
        raise BadRequest(
            f"{label}: not valid base64; encode the file's bytes with padding and the standard "
            "alphabet"
        ) from None
