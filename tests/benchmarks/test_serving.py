import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from app.inference.embedder import EncodedImage
from app.settings import Settings
from benchmarks import serving


class Pipeline:
    """A service that takes a hundredth of a second, and counts how often it had nothing to do."""

    def __init__(self) -> None:
        self.in_flight = self.emptied = 0
        self.default_model: str | None = None

    @contextlib.asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[SimpleNamespace]:
        self.default_model = settings.default_model
        yield SimpleNamespace(inference=self)

    async def embed(self, images: list[EncodedImage]) -> None:
        self.in_flight += 1
        await asyncio.sleep(0.01)
        self.in_flight -= 1
        self.emptied += self.in_flight == 0


def test_in_process_there_is_always_work_from_the_warm_up_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline()
    monkeypatch.setattr(serving, "running", pipeline.running)
    monkeypatch.setattr(serving, "WARM_UP_SECONDS", 0.05)
    monkeypatch.setattr(serving, "IN_FLIGHT", 4)
    rate = asyncio.run(serving.in_process([b"a", b"b"], 8, 0.1))
    assert rate > 0
    assert pipeline.emptied == 1, "when the time was up"
    assert pipeline.default_model == "photos"
