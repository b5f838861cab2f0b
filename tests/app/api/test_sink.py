import contextlib
import gc
import weakref

import pytest
from starlette.types import Scope

from app.api.problem import BadRequest
from app.api.sink import Sink, sink_of


def _fail(piece: bytes) -> None:
    raise BadRequest(f"{len(piece)} bytes too many")


def test_it_is_found_while_it_is_open_and_takes_nothing_behind_what_it_could_not_take() -> None:
    taken: list[bytes] = []

    def take(piece: bytes) -> None:
        if piece == b"b":
            _fail(piece)
        taken.append(piece)

    sink, scope = Sink(take), {}
    with sink.open(scope):
        assert sink_of(scope) is sink
        assert [sink.offer(piece) for piece in (b"a", b"b", b"c")] == [True, False, False]
        with pytest.raises(BadRequest, match="1 bytes too many"):
            sink.check()
    assert sink_of(scope) is None
    assert taken == [b"a"]


@pytest.mark.parametrize("is_asked", [True, False])
def test_what_failed_does_not_keep_what_was_read(is_asked: bool) -> None:
    def read() -> "weakref.ref[Sink]":
        sink = Sink(_fail)
        scope: Scope = {}
        with contextlib.suppress(BadRequest), sink.open(scope):
            sink.offer(b"piece")
            if is_asked:
                sink.check()
        return weakref.ref(sink)

    gc.disable()
    try:
        assert read()() is None
    finally:
        gc.enable()
