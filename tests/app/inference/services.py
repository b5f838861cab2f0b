"""Services without HTTP, for as long as a scenario lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from app.inference.catalogue import LoadedModel
from app.inference.embedder import EncodedImage
from app.inference.service import Service, running
from app.settings import Settings
from model_store.network import Side
from tests.app.material import MeanEngine, picture


def run(store, scenario: Callable[[Service], Awaitable[None]], **settings: object) -> Service:
    async def main() -> Service:
        values = {"device": "cpu", "store_poll_seconds": 0, **settings}
        async with running(Settings(model_store=store, **{"engine": "torch", **values})) as service:
            await asyncio.wait_for(scenario(service), 30)
        return service

    return asyncio.run(main())


def with_engine(service: Service, engine: MeanEngine, name: str = "tiny") -> None:
    """Puts another engine behind a loaded model."""
    old = service.catalogue.models[name]
    model = LoadedModel(old.manifest, old.network, engine)
    service._library._catalogue = replace(
        service.catalogue, models={**service.catalogue.models, name: model}
    )


def image(seed: int, side: Side = Side.LEFT) -> EncodedImage:
    return EncodedImage("image", picture(seed), side)


def lookups(service: Service, result: str) -> float:
    """How often the cache was asked, with that result."""
    name = "twinlens_cache_lookups_total"
    return service.metrics.registry.get_sample_value(name, {"result": result}) or 0
