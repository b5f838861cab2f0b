"""Writes columns as a JSON list of objects."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import orjson

Column = npt.NDArray[np.generic] | list[bool | None] | list[float | None]
"""Numbers, booleans and nulls: nothing whose JSON has a comma in it."""


def json_records(fields: Mapping[str, object | Column]) -> orjson.Fragment:
    """A list of objects for an answer that goes through orjson.

    Ten thousand dictionaries, made and then written, take twice as long as writing each column
    and joining them with what is the same in every object.

    Args:
        fields: By name, in order: a column has the values of all objects (N), and there is at least
            one of N ≥ 1; anything else is the same in every object.

    Returns:
        The list, as JSON.
    """
    between = [b"{"]
    columns: list[list[bytes]] = []
    for name, value in fields.items():
        between[-1] += orjson.dumps(name) + b":"
        written = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        if isinstance(value, list | np.ndarray):
            columns.append(written[1:-1].split(b","))
            between.append(b",")
        else:
            between[-1] += written + b","
    opening, *between, closing = between
    closing = closing.removesuffix(b",") + b"}"
    between.insert(0, closing + b"," + opening)

    count, stride = len(columns[0]), 2 * len(columns)
    pieces = [b""] * (count * stride)
    for place, (text, column) in enumerate(zip(between, columns, strict=True)):
        pieces[2 * place :: stride] = [text] * count
        pieces[2 * place + 1 :: stride] = column
    pieces[0] = opening
    return orjson.Fragment(b"[" + b"".join(pieces) + closing + b"]")
