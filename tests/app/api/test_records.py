"""Columns become what a list of dictionaries would have been."""

from itertools import repeat

import numpy as np
import orjson
import pytest

from app.api.records import json_records


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_object_has_every_field_in_order(count: int) -> None:
    random = np.random.default_rng(count)
    fields = {
        "model": 'a, "b"',
        "score": random.standard_normal(count),
        "threshold": None,
        "same": random.random(count) > 0.5,
        "known": [(None, True, False)[index % 3] for index in range(count)],
        "index": random.permutation(count),
        "version": 3,
    }
    columns = [
        value.tolist() if isinstance(value, np.ndarray) else value
        for value in (
            value if isinstance(value, list | np.ndarray) else repeat(value, count)
            for value in fields.values()
        )
    ]
    expected = [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]

    written = orjson.dumps({"results": json_records(fields)})

    assert written == orjson.dumps({"results": expected})


@pytest.mark.parametrize(
    "fields",
    [
        {"score": np.array([0.5, 0.25])},
        {"score": np.array([0.5, 0.25]), "name": "last"},
        {"name": "first", "score": np.array([0.5, 0.25])},
    ],
)
def test_a_column_may_stand_anywhere(fields: dict[str, object]) -> None:
    found = orjson.loads(orjson.dumps(json_records(fields)))

    assert [each["score"] for each in found] == [0.5, 0.25]
    assert all(list(each) == list(fields) for each in found)


def test_what_is_not_a_number_is_null() -> None:
    found = orjson.loads(orjson.dumps(json_records({"score": np.array([np.nan, 1.0])})))

    assert found == [{"score": None}, {"score": 1.0}]
