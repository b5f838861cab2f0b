"""Models are looked for in the background, and when somebody asks."""

import asyncio
import shutil
import threading

import pytest

from app.inference import library
from app.inference import loader as module
from app.inference.catalogue import Catalogue, LoadedModel
from app.inference.errors import EngineHung, NotReady, UnknownModel
from app.inference.library import Library
from app.inference.loader import Loader
from app.inference.service import Service
from app.observability.metrics import Metrics
from model_store import ModelStore
from tests.app.inference.loading import loader
from tests.app.inference.services import image, run, with_engine
from tests.app.inference.supervision import Elsewhere, until
from tests.app.material import fill_store, network, store_of
from tests.app.serving import wait_until


def test_a_look_that_fails_is_no_harm(store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def fails(loader: Loader, current: Catalogue, *, at_once: bool) -> Catalogue:
        nonlocal looks
        looks += 1
        raise RuntimeError("a bug")

    async def scenario(service: Service) -> None:
        monkeypatch.setattr(Loader, "update", fails)
        await asyncio.to_thread(wait_until, lambda: looks >= 2)
        assert service.unready_reason() is None
        assert (await service.inference.embed([image(1)])).embeddings.shape == (1, 16)

    run(store, scenario, store_poll_seconds=0.01)


def test_a_look_that_was_asked_for_is_not_waited_for_for_ever_and_goes_on(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_LOOK_SECONDS", 0.05)
    store = fill_store(tmp_path)
    gate = threading.Event()
    real = Loader.update

    def update(self: Loader, current: Catalogue, *, at_once: bool = False) -> Catalogue:
        assert not at_once or gate.wait(30)
        return real(self, current, at_once=at_once)

    monkeypatch.setattr(Loader, "update", update)

    async def scenario(service: Service) -> None:
        store.save("tiny", network(seed=10))
        with pytest.raises(NotReady, match=r"still being loaded after 0\.05 s"):
            await service.look()
        gate.set()
        version = lambda: service.catalogue.models["tiny"].version  # noqa: E731
        await asyncio.to_thread(wait_until, lambda: version() == 2)

    run(tmp_path, scenario)


def test_who_drains_loads_no_models_any_more(store) -> None:
    async def scenario(service: Service) -> None:
        assert await service.look() is service.catalogue
        service.drain()
        with pytest.raises(NotReady, match="shutting down"):
            await service.look()

    run(store, scenario)


def test_an_engine_is_not_mended_while_somebody_looks(tmp_path) -> None:
    store = fill_store(tmp_path)

    async def scenario(service: Service) -> None:
        old = service.catalogue.models["plain"].engine
        store.save("tiny", network(seed=10))
        await asyncio.gather(service._library.rebuild("plain"), service.look())
        assert service.catalogue.models["tiny"].version == 2
        assert service.catalogue.models["plain"].engine is not old

    run(tmp_path, scenario)


def test_a_look_gives_way_to_the_mending_of_an_engine_and_goes_on(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path / "store", "one", "three", "two")
    gate = threading.Event()
    done: list[tuple[str, int]] = []
    real = Loader._load

    def load(self: Loader, name: str, version: int, files: tuple) -> LoadedModel:
        if version == 2:
            assert gate.wait(30)
        done.append((name, version))
        return real(self, name, version, files)

    async def scenario(service: Service) -> None:
        for seed, name in enumerate(("one", "two")):
            store.save(name, network(seed=10 + seed))
        done.clear()
        monkeypatch.setattr(Loader, "_load", load)
        looking = asyncio.create_task(service.look())
        await until(service._library._changing.locked)
        mending = asyncio.create_task(service._library.rebuild("three"))
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(looking, mending)
        assert done == [("one", 2), ("three", 1), ("two", 2)]
        assert {service.catalogue.models[name].version for name in ("one", "two")} == {2}

    run(store.root, scenario)


@pytest.mark.parametrize(
    "hindered", ["store/tiny/1/weights.safetensors", "store/store.json", "store"]
)
def test_the_only_look_is_not_over_while_what_could_not_be_had_may_be(
    tmp_path, monkeypatch: pytest.MonkeyPatch, hindered: str
) -> None:
    monkeypatch.setattr(library, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    store = fill_store(tmp_path / "store")
    place = tmp_path / hindered
    aside = place.rename(tmp_path / "aside")
    # A folder where a file should be, or the other way round.
    place.touch() if aside.is_dir() else place.mkdir()

    async def scenario() -> None:
        metrics = Metrics()
        subject = Library(loader(store), root=store.root, poll_seconds=0, metrics=metrics)
        subject.start()
        await subject.first_look()
        assert subject.catalogue.default_model is None
        place.unlink() if aside.is_dir() else place.rmdir()
        aside.rename(place)
        await asyncio.wait_for(subject._loading, 30)
        assert sorted(subject.catalogue.models) == ["ordered", "plain", "sided", "tiny"]
        assert [each.name for each in subject.catalogue.refused] == ["broken"]
        assert subject.catalogue.default_model == "tiny"
        await subject.close()

    asyncio.run(scenario())


def test_an_engine_that_has_ended_and_is_mended_gives_back_what_it_held(store) -> None:
    async def scenario(service: Service) -> None:
        engine = Elsewhere()
        with_engine(service, engine)
        engine.gone = True
        await service._library.rebuild("tiny")
        assert engine.closed

    run(store, scenario)


async def lose(service: Service, store: ModelStore, model: str) -> None:
    """Has a model's only version moved out of the store, and then its engine end."""
    elsewhere = Elsewhere()
    with_engine(service, elsewhere, model)
    shutil.move(store.root / model / "1", store.root.parent / "out")
    elsewhere.gone = True
    await until(lambda: model not in service.catalogue.models)


def test_a_model_that_the_store_has_lost_ends_with_its_engine_and_the_others_go_on(
    tmp_path,
) -> None:
    store = store_of(tmp_path / "store", "tiny", "plain")

    async def scenario(service: Service) -> None:
        await lose(service, store, "plain")
        await until(lambda: service.hindrance() is None)
        assert (await service.inference.embed([image(1)])).embeddings.shape == (1, 16)
        with pytest.raises(UnknownModel, match="no model 'plain'"):
            await service.inference.embed([image(1)], model="plain")
        value = service.metrics.registry.get_sample_value
        labels = {"model": "plain", "result": "failed"}
        assert value("twinlens_engine_rebuilds_total", labels) == 1
        assert value("twinlens_model_version", {"model": "plain"}) is None

    run(store.root, scenario)


def test_a_default_that_is_lost_with_its_engine_is_missed_until_it_is_there_again(tmp_path) -> None:
    store = store_of(tmp_path / "store", "tiny", "plain")

    async def scenario(service: Service) -> None:
        await lose(service, store, "tiny")
        await until(lambda: service.hindrance() is None)
        assert "the default model 'tiny' is not loaded" in (service.unready_reason() or "")
        assert service.failure is None
        shutil.move(tmp_path / "out", store.root / "tiny" / "1")
        await service.look()
        assert service.unready_reason() is None

    run(store.root, scenario)


def test_a_lost_default_does_not_have_a_further_model_that_hangs_end_what_serves(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path / "store", "tiny", "plain")

    async def scenario(service: Service) -> None:
        await lose(service, store, "tiny")

        def hang(_: object) -> object:
            raise EngineHung("it has not answered for 600 s")

        monkeypatch.setattr(service._library._loader, "_make", hang)
        store.save("further", network(seed=3))
        await service.look()
        assert service.failure is None
        assert "the default model 'further' is not loaded" in (service.unready_reason() or "")

    run(store.root, scenario)


def test_what_was_taken_out_of_the_store_meanwhile_is_not_mended(tmp_path) -> None:
    store = store_of(tmp_path / "store", "tiny", "plain")

    async def scenario(service: Service) -> None:
        shutil.rmtree(store.root / "plain")
        await service.look()
        await service._library.rebuild("plain")
        assert list(service.catalogue.models) == ["tiny"]

    run(store.root, scenario)
