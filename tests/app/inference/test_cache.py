import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.inference.cache import EmbeddingCache, cache_key
from app.inference.rows import Row


def row(value: float, size: int = 10) -> Row:
    return Row(np.full(size, value, np.float32), value)


def test_the_least_recently_used_goes_first() -> None:
    one, two, three = (cache_key(data, "m") for data in (b"1", b"2", b"3"))
    cache = EmbeddingCache(2 * (40 + 500))
    cache.put(one, row(1))
    cache.put(two, row(2))
    assert cache.get(one) is not None
    cache.put(three, row(3))
    assert cache.get(two) is None
    assert cache.get(one).typicality == 1
    assert cache.get(three).embedding[0] == 3
    assert len(cache) == 2


def test_models_and_contents_are_told_apart() -> None:
    keys = {cache_key(data, model) for data in (b"a", b"b") for model in ("m/1", "m/2")}
    assert len(keys) == 4


def test_nothing_is_kept_without_room() -> None:
    cache = EmbeddingCache(0)
    cache.put(cache_key(b"a", "m"), row(1))
    assert len(cache) == cache.bytes == 0
    assert not cache.enabled


def test_what_there_is_no_room_for_does_not_leave_what_was_there_before() -> None:
    cache = EmbeddingCache(600)
    key = cache_key(b"a", "m")
    cache.put(key, row(1))
    cache.put(key, row(2, size=30))
    assert cache.get(key) is None
    assert len(cache) == cache.bytes == 0


@given(
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300), st.booleans())),
)
def test_the_bound_holds_and_what_is_found_is_what_was_put(limit, steps) -> None:
    cache = EmbeddingCache(limit)
    last = {}
    for number, size, asks in steps:
        key = cache_key(bytes([number]), "m")
        if asks:
            found = cache.get(key)
            assert found is None or found is last[number]
        else:
            last[number] = row(number, size)
            cache.put(key, last[number])
        assert cache.bytes <= limit
        assert cache.bytes == sum(r.embedding.nbytes + 500 for r in cache._rows.values())


def test_a_row_that_just_fits_is_kept() -> None:
    cache = EmbeddingCache(40 + 500)
    key = cache_key(b"a", "m")
    cache.put(key, row(1))
    assert cache.get(key) is not None
