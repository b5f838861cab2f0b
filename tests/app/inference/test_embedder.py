"""Images that are known, or in work already, are not embedded again."""

import asyncio
import threading

import numpy as np
import pytest

from app.inference import decode
from app.inference.embedder import EncodedImage
from app.inference.service import Service
from model_store.errors import UnsupportedImageType
from model_store.images import decode_prepared
from model_store.network import Side
from model_store.preprocessing import Preprocessing, UInt8Image
from tests.app.inference.batching import entered
from tests.app.inference.services import image, lookups, run, with_engine
from tests.app.material import DIMENSION, MeanEngine, picture
from tests.app.serving import wait_until


def test_a_repeated_image_is_embedded_once(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        await service.inference.embed([image(1), image(1), image(2)])
        await service.inference.embed([image(2), image(1)])
        assert sum(size for size, _ in engine.batches) == 2

    service = run(store, scenario)
    assert lookups(service, "miss") == 2
    assert lookups(service, "joined") == 1
    assert lookups(service, "hit") == 2


def test_whoever_joins_a_request_that_leaves_at_once_has_his_image_all_the_same(store) -> None:
    async def scenario(service: Service) -> None:
        with_engine(service, MeanEngine())
        first = asyncio.create_task(service.inference.embed([image(1)]))
        second = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.sleep(0)  # Both are accepted, and nothing is decoded yet.
        first.cancel()
        found = await second
        alone = await service.inference.embed([image(1)])
        assert np.array_equal(found.embeddings, alone.embeddings)
        assert first.cancelled()

    service = run(store, scenario)
    assert lookups(service, "joined") == 1
    assert service.admission.outstanding == 0


def test_digests_of_large_images_are_made_beside_the_event_loop(store) -> None:
    async def scenario(service: Service) -> None:
        with_engine(service, MeanEngine())
        padded = EncodedImage("image", picture(1) + bytes(4_000_000))
        task = asyncio.create_task(service.inference.embed([padded, image(2), padded]))
        turns = 0
        # Nothing is looked up before all digests are there.
        while not lookups(service, "miss"):
            await asyncio.sleep(0)
            turns += 1
        assert turns > 3
        await task

    service = run(store, scenario)
    assert lookups(service, "miss") == 2
    assert lookups(service, "joined") == 1


def test_without_a_cache_nothing_is_remembered(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        for _ in range(2):
            await service.inference.embed([image(1), image(1)])
        assert sum(size for size, _ in engine.batches) == 4

    run(store, scenario, cache_bytes=0)


def test_the_cache_keeps_sides_apart_where_branches_differ(store) -> None:
    async def scenario(service: Service) -> None:
        inference = service.inference
        left = (await inference.embed([image(1)], "sided")).embeddings
        right = (await inference.embed([image(1, Side.RIGHT)], "sided")).embeddings
        assert not np.allclose(left, right)
        again = (await inference.embed([image(1)], "sided")).embeddings
        np.testing.assert_array_equal(left, again)
        one = await inference.compare(image(1), image(2, Side.RIGHT), "sided")
        other = await inference.compare(image(2), image(1, Side.RIGHT), "sided")
        assert one.judgement.scores[0] != pytest.approx(other.judgement.scores[0], abs=1e-4)

    run(store, scenario)


def test_who_joins_an_image_in_work_does_not_depend_on_who_came_first(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        engine.gate.clear()
        first = asyncio.create_task(service.inference.embed([image(1)]))
        await entered(engine)
        second = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait([first])
        engine.gate.set()
        assert (await second).embeddings.shape[0] == 1
        assert len(engine.batches) == 1

    run(store, scenario)


def test_work_that_all_have_left_is_given_up_and_may_be_asked_for_again(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        engine.gate.clear()
        blocker = asyncio.create_task(service.inference.embed([image(9)]))
        await entered(engine)
        left = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.to_thread(wait_until, lambda: service._batcher.depth == 1)
        left.cancel()
        again = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.wait([left])
        assert left.cancelled()
        engine.gate.set()
        await asyncio.gather(blocker, again)
        assert [size for size, _ in engine.batches] == [1, 1]

    run(store, scenario)


def test_what_the_cache_holds_is_told_to_prometheus(store) -> None:
    async def scenario(service: Service) -> None:
        def told(name: str) -> float:
            return service.metrics.registry.get_sample_value(name) or 0

        assert told("twinlens_cache_entries") == told("twinlens_cache_bytes") == 0
        await service.inference.embed([image(1), image(2)])
        assert told("twinlens_cache_entries") == 2
        assert told("twinlens_cache_bytes") > 2 * 4 * DIMENSION

    run(store, scenario)


def test_an_image_that_is_bad_is_refused_before_the_others_are_embedded(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        engine.gate.clear()
        images = [image(1), EncodedImage("candidates[1]", b"no image")]
        try:
            with pytest.raises(UnsupportedImageType):
                await asyncio.wait_for(service.inference.embed(images), 10)
        finally:
            engine.gate.set()

    run(store, scenario)


def test_images_that_nobody_waits_for_are_not_decoded(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, decoded = threading.Event(), []

    def slowly(data: bytes, spec: Preprocessing, *, max_pixels: int) -> UInt8Image:
        decoded.append(data)
        assert gate.wait(30)
        return decode_prepared(data, spec, max_pixels=max_pixels)

    monkeypatch.setattr(decode, "decode_prepared", slowly)

    async def scenario(service: Service) -> None:
        first = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.to_thread(wait_until, lambda: decoded)
        left = asyncio.create_task(service.inference.embed([image(2)]))
        await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.wait([left])
        gate.set()
        await first
        await service.inference.embed([image(3)])
        assert decoded == [image(1).data, image(3).data]

    run(store, scenario, decode_threads=1)


def test_one_that_was_given_up_does_not_take_its_successor_along(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        engine.gate.clear()
        tasks = [asyncio.create_task(service.inference.embed([image(9)]))]
        await entered(engine)
        left = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.to_thread(wait_until, lambda: service._batcher.depth == 1)
        left.cancel()
        tasks.append(asyncio.create_task(service.inference.embed([image(1)])))
        await asyncio.wait([left])
        await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(service.inference.embed([image(1)])))
        await asyncio.sleep(0.01)
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert lookups(service, "joined") == 1

    run(store, scenario)
