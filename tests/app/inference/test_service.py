"""The service without HTTP: cache, single flight, admission, cancellation."""

import asyncio
import threading

import numpy as np
import pytest

from app.inference.compare import Embedded
from app.inference.embedder import EncodedImage
from app.inference.errors import (
    EngineFailed,
    InferenceError,
    InvalidInput,
    QueueFull,
    TooManyBytes,
)
from app.inference.service import Service
from model_store.errors import UndecodableImage, UnsupportedImageType
from model_store.network import Side
from tests.app.inference.batching import entered
from tests.app.inference.services import image, lookups, run, with_engine
from tests.app.material import (
    CALIBRATION,
    DIMENSION,
    MeanEngine,
    grey,
    lane,
    picture,
)
from tests.app.serving import wait_until


def test_embedding_and_comparing_agree(store) -> None:
    async def scenario(service: Service) -> None:
        inference = service.inference
        rows = (await inference.embed([image(1), image(2)])).embeddings
        pair = await inference.compare(image(1), image(2))
        many = await inference.compare_many(rows[0], rows)
        norms = np.linalg.norm(rows[0]) * np.linalg.norm(rows[1])
        expected = float(rows[0] @ rows[1] / norms)
        assert pair.judgement.scores[0] == pytest.approx(expected, abs=1e-5)
        assert many.ranking.tolist() == [0, 1]
        assert many.judgement.scores[1] == pytest.approx(expected, abs=1e-5)

    run(store, scenario)


def test_the_queue_is_bounded_in_images_and_frees_itself(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        with_engine(service, engine)
        engine.gate.clear()
        first = asyncio.create_task(service.inference.embed([image(1), image(2), image(3)]))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull):
            await service.inference.embed([image(4), image(5)])
        # What is in work already costs no place.
        second = asyncio.create_task(service.inference.embed([image(1), image(4)]))
        await asyncio.sleep(0.01)
        engine.gate.set()
        await asyncio.gather(first, second)
        await service.inference.embed([image(6), image(7), image(8), image(9)])

    run(store, scenario, queue_images=4, max_images=4)


class OneCallerEngine(MeanEngine):
    """It also remembers how many images the caller had whom it served alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lone: list[int] = []

    def features_for_one(self, batch: np.ndarray, side: Side, images: int) -> np.ndarray:
        self.lone.append(images)
        return self.features(batch, side)


def test_an_engine_is_told_when_it_serves_a_single_caller(store) -> None:
    async def scenario(service: Service) -> None:
        engine = OneCallerEngine()
        with_engine(service, engine)
        await service.inference.embed([image(1)])
        await service.inference.compare(image(1), image(2))
        assert set(engine.lone) == {1, 2}
        engine = OneCallerEngine()
        with_engine(service, engine)
        engine.gate.clear()
        first = asyncio.create_task(service.inference.embed([image(3)]))
        await entered(engine)
        left = asyncio.create_task(service.inference.embed([image(4)]))
        second = asyncio.create_task(service.inference.embed([image(5)]))
        await asyncio.sleep(0.01)
        left.cancel()
        engine.gate.set()
        await asyncio.gather(first, second)
        assert engine.lone == [1], "the first one, before there was another"
        with pytest.raises(UnsupportedImageType):
            await service.inference.embed([EncodedImage("image", b"no image at all")])
        await asyncio.sleep(0.1)
        await service.inference.embed([image(6)])
        assert engine.lone == [1, 1], "nobody who has left is counted any more"

    run(store, scenario, cache_bytes=0)


def test_an_image_against_itself_is_a_single_one(store) -> None:
    async def scenario(service: Service) -> None:
        engine = OneCallerEngine()
        with_engine(service, engine)
        await service.inference.compare(image(1), image(1, Side.RIGHT))
        assert engine.lone == [1]

    run(store, scenario)


def test_errors_name_the_image_and_spare_the_others(store) -> None:
    async def scenario(service: Service) -> None:
        bad = EncodedImage("images[1]", b"no image at all")
        cut = EncodedImage("images[0]", picture(1, "JPEG")[:200])
        with pytest.raises(UnsupportedImageType, match=r"^images\[1\]: "):
            await service.inference.embed([image(1), bad])
        with pytest.raises(UndecodableImage, match=r"^images\[0\]: "):
            await service.inference.embed([cut, image(1)])
        with pytest.raises(TooManyBytes, match="limit of 9,000"):
            await service.inference.embed([EncodedImage("image", bytes(9001))])
        with pytest.raises(InvalidInput, match="no images"):
            await service.inference.embed([])
        with pytest.raises(InvalidInput, match="limit of 64"):
            await service.inference.embed([image(1)] * 65)
        assert (await service.inference.embed([image(1)])).embeddings.shape == (1, 16)

    run(store, scenario, max_image_bytes=9000)


def test_a_dead_device_makes_the_service_unready(store) -> None:
    async def scenario(service: Service) -> None:
        engine = MeanEngine()
        engine.error = SystemExit("gone")
        with_engine(service, engine)
        assert service.unready_reason() is None
        with pytest.raises(EngineFailed):
            await service.inference.embed([image(1)])
        assert "SystemExit" in (service.unready_reason() or "")
        # The real engine takes its place.
        await asyncio.to_thread(wait_until, lambda: service.unready_reason() is None)
        assert (await service.inference.embed([image(1)])).embeddings.shape == (1, 16)
        assert service.catalogue.models["tiny"].engine is not engine

    run(store, scenario)


class SmallEngine(MeanEngine):
    """It has memory for one image at a time."""

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        rows = super().features(batch, side)
        if len(batch) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return rows


def test_a_limit_on_batches_is_shown_as_long_as_its_engine_serves(store) -> None:
    async def scenario(service: Service) -> None:
        def shown(model: str) -> float | None:
            registry = service.metrics.registry
            return registry.get_sample_value("twinlens_batch_limit_images", {"model": model})

        async def two_wait_for(engine: SmallEngine) -> list[asyncio.Task[Embedded]]:
            engine.gate.clear()
            with_engine(service, engine)
            first = asyncio.create_task(service.inference.embed([image(1)]))
            await entered(engine)
            rest = asyncio.create_task(service.inference.embed([image(2), image(3)]))
            await asyncio.to_thread(wait_until, lambda: service._batcher.depth == 2)
            return [first, rest]

        engine = SmallEngine()
        tasks = await two_wait_for(engine)
        assert shown("tiny") is None
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert shown("tiny") == 1
        assert shown("plain") is None
        await service._library.rebuild("tiny")
        assert shown("tiny") is None
        # What the old engine is still at when a new one takes its place counts no more.
        engine = SmallEngine()
        tasks = await two_wait_for(engine)
        await service._library.rebuild("tiny")
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert service._batcher.limit(engine) == 1
        assert shown("tiny") is None

    run(store, scenario, cache_bytes=0)


def test_no_model_is_an_error_with_its_reason(tmp_path) -> None:
    async def nothing(service: Service) -> None:
        raise AssertionError

    with pytest.raises(InferenceError, match="holds no model"):
        run(tmp_path, nothing)


def test_what_is_said_of_each_candidate_goes_with_it_into_the_ranking(store) -> None:
    async def scenario(service: Service) -> None:
        query = np.zeros(DIMENSION, np.float32)
        query[0] = 1
        rows = np.zeros((5, DIMENSION), np.float32)
        rows[:, :2] = [(-1, 0), (1, 0), (0, 1), (1, 1), (1, 3)]
        found = await service.inference.compare_many(query, rows)
        assert found.ranking.tolist() == [1, 3, 4, 2, 0]
        scores = found.judgement.scores
        assert scores == pytest.approx([1, 0.5**0.5, 0.1**0.5, 0, -1], abs=1e-6)
        assert found.judgement.same is not None
        assert found.judgement.same.tolist() == [True, True, False, False, False]
        metric = found.model.manifest.metric
        probabilities = CALIBRATION.probability(scores, metric)
        assert found.judgement.probabilities == pytest.approx(probabilities)
        counted = service.metrics.registry.get_sample_value(
            "twinlens_score_bucket", {"model": "tiny", "version": "1", "le": "+Inf"}
        )
        assert counted == 5

    run(store, scenario)


@pytest.mark.parametrize("model", ["tiny", "plain"])
def test_candidates_that_are_equally_alike_keep_their_order(store, model: str) -> None:
    async def scenario(service: Service) -> None:
        rows = np.ones((500, DIMENSION), np.float32)
        rows[::2, 0] = 2
        found = await service.inference.compare_many(rows[1], rows, model)
        assert found.ranking.tolist() == [*range(1, 500, 2), *range(0, 500, 2)]

    run(store, scenario)


def test_without_a_candidate_there_is_nothing_to_compare(store) -> None:
    async def scenario(service: Service) -> None:
        rows = np.ones((1, DIMENSION), np.float32)
        for none in ([], rows[:0]):
            with pytest.raises(InvalidInput, match="no candidates"):
                await service.inference.compare_many(rows[0], none)

    run(store, scenario)


async def given_up(task: asyncio.Task[Embedded]) -> None:
    """Ends a request as a client that leaves does."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # What the end of an image brings about comes with the loop's next turns.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_an_engine_is_not_closed_while_it_is_at_an_image_that_nobody_wants(store) -> None:
    engine = MeanEngine()
    engine.gate.clear()

    async def scenario(service: Service) -> None:
        with_engine(service, engine)
        task = asyncio.create_task(service.inference.embed([image(1)]))
        await entered(engine)
        service.catalogue.models["tiny"].retire()
        await given_up(task)
        assert not engine.closed
        engine.gate.set()
        await asyncio.to_thread(wait_until, lambda: engine.closed)

    run(store, scenario)


def test_an_engine_is_not_closed_while_others_wait_for_an_image_that_it_is_to_embed(store) -> None:
    busy, old, new = MeanEngine(), MeanEngine(), MeanEngine()
    busy.gate.clear()

    async def scenario(service: Service) -> None:
        batcher = service._batcher
        # The image has to wait for the device meanwhile.
        batcher.put(batcher.expect(lane(busy)), grey(1))
        await entered(busy)
        with_engine(service, old)
        replaced = service.catalogue.models["tiny"]
        first = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.to_thread(wait_until, lambda: batcher.depth == 1)
        # The same weights anew, as when the files beside them were replaced.
        with_engine(service, new)
        replaced.retire()
        second = asyncio.create_task(service.inference.embed([image(1)]))
        await asyncio.to_thread(wait_until, lambda: lookups(service, "joined") == 1)
        await given_up(first)
        assert not old.closed
        busy.gate.set()
        await second
        assert (len(old.batches), len(new.batches)) == (1, 0)
        await asyncio.to_thread(wait_until, lambda: old.closed)

    run(store, scenario)


def test_the_end_of_a_service_closes_its_engines(store) -> None:
    engine = MeanEngine()

    async def scenario(service: Service) -> None:
        with_engine(service, engine)
        await service.inference.embed([image(1)])
        assert not engine.closed

    run(store, scenario)
    assert engine.closed


def test_as_many_threads_decode_as_are_set(store) -> None:
    before = set(threading.enumerate())

    async def scenario(service: Service) -> None:
        begun = set(threading.enumerate()) - before
        assert sum(thread.name.startswith("twinlens-decode") for thread in begun) == 5

    run(store, scenario, decode_threads=5)


def test_who_drains_does_not_send_clients_back_to_a_full_queue(store) -> None:
    async def scenario(service: Service) -> None:
        service.admission.acquire(service.settings.queue_images)
        with pytest.raises(QueueFull):
            service.turn_away()
        service.drain()
        service.turn_away()
        assert "send requests elsewhere" in (service.hindrance() or "")

    run(store, scenario, cache_bytes=0)
