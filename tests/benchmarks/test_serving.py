import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
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


def test_the_report_tells_where_the_figures_come_from_and_what_had_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextlib.contextmanager
    def server(**_: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(port=0)

    async def in_process(_: list[bytes], max_batch: int, __: float) -> float:
        return 10.0 * max_batch

    def load(_: int, __: float, *options: str) -> dict[str, object]:
        latency = None if options[1] == "128" else 2.0
        figures = {"images_per_second": 40.0, "client_cpu_ms": 0.25, "failures": {"503": 2}}
        return {**figures, "p50_ms": latency, "p99_ms": latency, "overdue": 1}

    for name, stand_in in (("server", server), ("in_process", in_process), ("load", load)):
        monkeypatch.setattr(serving, name, stand_in)
    monkeypatch.setattr("sys.argv", ["serving", "--rounds", "2"])
    result = serving.measure(rounds=2, seconds=4.0)
    assert result["command"] == "python -m benchmarks.serving --rounds 2"
    text = serving.report(json.loads(json.dumps(result)))
    assert "`python -m benchmarks.serving --rounds 2`" in text
    lines = [line.split() for line in text.splitlines() if "concurrency" in line]
    rows = {level: figures for _, level, *figures in lines}
    assert rows["8"] == ["40.0", "0.50", "2.0", "2.0", "0.25", "4", "2"]
    assert rows["128"] == ["40.0", "0.50", "∞", "∞", "0.25", "4", "2"]
