"""Images are decoded on the decoder's threads and handed over there."""

import gc
import io
import sys
import threading
import traceback
import weakref
from queue import Queue

import numpy as np
import pytest
from PIL import Image

from app.inference import decode as decoding
from app.inference.decode import Decoder
from app.inference.errors import NotReady
from app.observability.metrics import Metrics
from model_store.errors import ImageError, UndecodableImage
from model_store.images import decode
from model_store.preprocessing import Preprocessing, prepare

_SPEC = Preprocessing(height=8, width=8, mode="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
_SECONDS = 30


def _file() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


class _Taker:
    """Remembers what it was given, and on which thread."""

    def __init__(self) -> None:
        self.found: Queue[object] = Queue()
        self.threads: list[threading.Thread] = []
        self.kept: object = None

    def take(self, what: object) -> None:
        self.threads.append(threading.current_thread())
        self.found.put(what)


def _decoder(threads: int = 1) -> Decoder:
    return Decoder(threads=threads, max_pixels=10_000, metrics=Metrics())


def test_an_image_is_handed_over_on_the_thread_that_decoded_it() -> None:
    decoder, done, failed = _decoder(), _Taker(), _Taker()
    decoder.start(_file(), _SPEC, done=done.take, failed=failed.take)
    found = done.found.get(timeout=_SECONDS)
    decoder.close()
    np.testing.assert_array_equal(found, prepare(decode(_file()), _SPEC))
    assert done.threads[0].name.startswith("twinlens-decode")
    assert failed.found.empty()


def test_what_is_no_image_fails() -> None:
    decoder, done, failed = _decoder(), _Taker(), _Taker()
    decoder.start(b"no image", _SPEC, done=done.take, failed=failed.take)
    assert isinstance(failed.found.get(timeout=_SECONDS), ImageError)
    decoder.close()
    assert done.found.empty()


def test_what_is_cancelled_before_its_turn_is_not_decoded() -> None:
    decoder, done, failed = _decoder(), _Taker(), _Taker()
    gate = threading.Event()
    decoder.start(_file(), _SPEC, done=lambda _: gate.wait(_SECONDS), failed=failed.take)
    second = decoder.start(_file(), _SPEC, done=done.take, failed=failed.take)
    third = _Taker()
    decoder.start(_file(), _SPEC, done=third.take, failed=failed.take)
    second.cancel()
    gate.set()
    third.found.get(timeout=_SECONDS)
    decoder.close()
    assert done.found.empty()
    assert failed.found.empty()


def test_the_bytes_of_what_is_cancelled_do_not_wait_for_a_thread() -> None:
    """Whoever sent them has gone, and they count against no bound any more."""
    decoder, failed = _decoder(), _Taker()
    begun, gate = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        gate.wait(_SECONDS)

    decoder.start(_file(), _SPEC, done=hold, failed=failed.take)
    assert begun.wait(_SECONDS)
    data = _file()
    before = sys.getrefcount(data)
    waiting = decoder.start(data, _SPEC, done=hold, failed=failed.take)
    assert sys.getrefcount(data) > before
    waiting.cancel()
    after = sys.getrefcount(data)
    gate.set()
    decoder.close()
    assert after == before


def test_what_waits_when_the_decoder_is_closed_is_answered() -> None:
    decoder, done, failed = _decoder(), _Taker(), _Taker()
    gate = threading.Event()
    decoder.start(_file(), _SPEC, done=lambda _: gate.wait(_SECONDS), failed=failed.take)
    decoder.start(_file(), _SPEC, done=done.take, failed=failed.take)
    decoder.close()
    gate.set()
    assert isinstance(failed.found.get(timeout=_SECONDS), NotReady)
    assert done.found.empty()


def test_a_decoder_has_hung_once_every_thread_has_been_at_one_image_for_long() -> None:
    decoder, failed = _decoder(threads=2), _Taker()
    begun, gate = Queue[object](), threading.Event()

    def hold(image: object) -> None:
        begun.put(image)
        gate.wait(_SECONDS)

    assert decoder.condemn_if_stuck(0.0) is None
    decoder.start(_file(), _SPEC, done=hold, failed=failed.take)
    begun.get(timeout=_SECONDS)
    assert decoder.condemn_if_stuck(0.0) is None
    decoder.start(_file(), _SPEC, done=hold, failed=failed.take)
    begun.get(timeout=_SECONDS)
    waiting = _Taker()
    decoder.start(_file(), _SPEC, done=hold, failed=waiting.take)
    assert decoder.condemn_if_stuck(3600.0) is None
    assert failed.found.empty()
    assert waiting.found.empty()
    assert "decoding has hung (2 threads" in (decoder.condemn_if_stuck(0.0) or "")
    for _ in range(2):
        assert isinstance(failed.found.get(timeout=_SECONDS), UndecodableImage)
    assert isinstance(waiting.found.get(timeout=_SECONDS), NotReady)
    decoder.start(_file(), _SPEC, done=hold, failed=waiting.take)
    assert isinstance(waiting.found.get(timeout=_SECONDS), NotReady)
    gate.set()
    decoder.close()


def test_what_comes_after_the_end_is_answered() -> None:
    decoder, done, failed = _decoder(), _Taker(), _Taker()
    decoder.close()
    decoder.start(_file(), _SPEC, done=done.take, failed=failed.take)
    assert isinstance(failed.found.get(timeout=_SECONDS), NotReady)
    assert done.found.empty()


def test_nothing_of_an_image_is_kept_once_it_is_handed_over() -> None:
    """Bodies are bounded while they are in work; what is done must not stay beyond that."""
    decoder, taker = _decoder(), _Taker()
    found, gone = taker.found, threading.Event()
    weakref.finalize(taker, gone.set)
    decoder.start(_file(), _SPEC, done=taker.take, failed=taker.take)
    found.get(timeout=_SECONDS)
    del taker
    assert gone.wait(_SECONDS)
    decoder.close()


@pytest.mark.parametrize("error", [UndecodableImage("no"), RuntimeError("unforeseen")], ids=repr)
def test_an_error_does_not_keep_who_keeps_it_and_what_was_not_foreseen_has_its_trace(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error.with_traceback(None)

    monkeypatch.setattr(decoding, "decode_prepared", fail)
    decoder, taker = _decoder(), _Taker()
    gone = threading.Event()
    gc.disable()
    try:
        weakref.finalize(taker, gone.set)
        decoder.start(b"", _SPEC, done=taker.take, failed=taker.take)
        found = taker.found.get(timeout=_SECONDS)
        trace = [frame.name for frame in traceback.extract_tb(found.__traceback__)]
        taker.kept = found
        del taker, found
        assert gone.wait(5)
    finally:
        gc.enable()
    decoder.close()
    assert trace == ([] if isinstance(error, ImageError) else ["_decode", "fail"])
