"""A process whose engine breaks: it says so, mends itself once, and ends if that does not help."""

from pathlib import Path

import httpx
import pytest

from tests.app.material import picture
from tests.app.serving import Process, in_process, wait_until


def ask(process: Process, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{process.port}{path}", timeout=30)


def embed(process: Process) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{process.port}/embed", files={"images": picture(1)}, timeout=30
    )


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    return tmp_path


def test_a_hung_engine_is_replaced_and_a_second_fault_ends_the_process(store, faults) -> None:
    with in_process(
        store,
        module=f"tests.app.faulty {faults}",
        TWINLENS_WATCHDOG_SECONDS="0.5",
        TWINLENS_CACHE_BYTES="0",
        TWINLENS_ENGINE="torch",
    ) as process:
        before = embed(process)
        assert before.status_code == 200
        (faults / "hang").touch()
        hung = embed(process)
        assert hung.status_code == 500
        assert "hung" in hung.json()["detail"]
        assert ask(process, "/livez").status_code == 200
        wait_until(lambda: ask(process, "/readyz").status_code == 200)
        after = embed(process)
        assert after.status_code == 200
        assert after.json()["embeddings"] == before.json()["embeddings"]
        (faults / "stay").touch()
        assert embed(process).status_code == 500
        # The call never comes back, and the process ends all the same.
        assert process.popen.wait(30) == 70


def test_an_engine_that_cannot_be_rebuilt_ends_the_process(store, faults) -> None:
    with in_process(
        store,
        module=f"tests.app.faulty {faults}",
        TWINLENS_CACHE_BYTES="0",
        TWINLENS_ENGINE="torch",
    ) as process:
        (faults / "stay").touch()
        (faults / "raise").touch()
        statuses = []
        while process.popen.poll() is None:
            try:
                statuses.append(embed(process).status_code)
            except httpx.TransportError:
                break
        assert set(statuses) <= {500, 503}
        assert statuses[:3] == [500, 500, 500]
        assert process.popen.wait(30) == 70
        assert any("the process ends" in str(line["message"]) for line in process.lines)
