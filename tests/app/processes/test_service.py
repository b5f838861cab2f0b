"""Two front-ends on a real port, started, killed and ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.processes.folder import Folder
from app.processes.listening import can_share_ports
from tests.app.material import picture
from tests.app.processes.service import PROCESSES, Several, environment, several
from tests.app.serving import REPOSITORY, compare_body, half_request, wait_until
from tests.app.test_drain import received

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")


def own_requests(service: Several, number: int) -> float:
    """What one front-end alone has answered."""
    (path,) = service.scratch.iterdir()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Folder(path).socket(number)))
        connection.sendall(b"metrics\n")
        told = received(connection).decode().partition("\n")[2]
    return sum(
        sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.name == "twinlens_requests_total" and sample.labels["route"] == "/compare"
    )


def compare(service: Several) -> httpx.Response:
    """A comparison over a connection of its own."""
    files = {"image_a": picture(1), "image_b": picture(2)}
    return httpx.post(f"{service.url}/compare", files=files, timeout=30)


def compared(service: Several) -> float:
    text = httpx.get(f"{service.url}/metrics", timeout=30).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "twinlens_requests_total"
        and sample.labels["route"] == "/compare"
        and sample.labels["status"] == "200"
    )


@pytest.fixture(scope="module")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    with several(store, tmp_path_factory.mktemp("several")) as running:
        yield running


# The tests of this service stand in the order in which it goes through them: the last one ends it.


def test_requests_come_to_all_processes_and_are_counted_together(service: Several) -> None:
    before = compared(service)
    sent = 40
    assert {compare(service).status_code for _ in range(sent)} == {200}
    assert compared(service) - before == sent
    shares = [own_requests(service, number) for number in range(PROCESSES)]
    assert min(shares) > 0
    assert sum(shares) == before + sent


def resident(pid: int) -> int:
    """Bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_that_of_all_processes(service: Several) -> None:
    all_of_them = sum(map(resident, [service.popen.pid, *service.children()]))
    assert service.metrics()["process_resident_memory_bytes"] == pytest.approx(all_of_them, rel=0.1)


def test_reload_is_everybodys(service: Several) -> None:
    (path,) = service.scratch.iterdir()
    answer = httpx.post(f"{service.url}/admin/reload", timeout=60)
    assert answer.status_code == 200
    assert answer.json()["models"]["tiny"] == 1
    assert service.count("not looked through by all") == 0
    Folder(path).socket(1).rename(path / "hidden")
    try:
        # Whichever answers, one of the two cannot ask the other or cannot be asked.
        wait_until(
            lambda: (
                httpx.post(f"{service.url}/admin/reload", timeout=60).status_code == 200
                and service.count("not looked through by all processes: front-end 1") > 0
            )
        )
    finally:
        (path / "hidden").rename(Folder(path).socket(1))


def test_a_killed_front_end_is_replaced_and_meanwhile_the_others_answer(service: Several) -> None:
    before = compared(service)
    (first,) = service.pids("front-end 0")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: service.count("front-end 0 has ended (SIGKILL)") == 1)
    sent = 0
    while service.count("front-end 0 running on") < 2:
        assert compare(service).status_code == 200
        sent += 1
        assert compared(service) == before + sent
    assert sent > 0
    # It did not come back before it was ready.
    assert service.metrics()["twinlens_ready"] == 1
    assert {compare(service).status_code for _ in range(20)} == {200}
    service.wait_until_complete()
    assert compared(service) == before + sent + 20
    assert service.popen.poll() is None


def test_a_killed_device_process_is_replaced_and_front_ends_live_on(service: Several) -> None:
    before = service.children()
    time = service.metrics()["process_cpu_seconds_total"]
    os.kill(service.pids("device process")[-1], signal.SIGKILL)
    wait_until(lambda: service.count("device process has ended (SIGKILL)") == 1)
    # Pictures that no cache knows.
    pictures = iter(range(1000, 100_000))
    statuses = set()

    def answers() -> bool:
        files = {name: picture(next(pictures)) for name in ("image_a", "image_b")}
        status = httpx.post(f"{service.url}/compare", files=files, timeout=30).status_code
        statuses.add(status)
        return status == 200

    wait_until(answers, 60)
    service.wait_until_complete()
    assert all(answers() for _ in range(20))
    assert statuses <= {200, 503}
    assert len(service.children()) == len(before) + 1
    assert service.metrics()["process_cpu_seconds_total"] > time, "the killed one's counts, too"


def test_sigterm_loses_nothing_in_work_and_ends_with_0(service: Several) -> None:
    content, kind = compare_body(picture(3), picture(4))
    connections = [half_request(service.port, content, kind) for _ in range(12)]
    for connection in connections:
        connection.sendall(content[:100])
    service.popen.send_signal(signal.SIGTERM)
    # The parent's line and one from each front-end.
    wait_until(lambda: service.count("SIGTERM: draining") == 1 + PROCESSES)
    # Whoever supervises a service may signal all of its processes, and so front-ends twice.
    for number in range(PROCESSES):
        with contextlib.suppress(ProcessLookupError):
            os.kill(service.pids(f"front-end {number}")[-1], signal.SIGTERM)
    assert httpx.get(f"{service.url}/readyz").status_code == 503
    for connection in connections:
        connection.sendall(content[100:])
    for connection in connections:
        with connection:
            assert received(connection).startswith(b"HTTP/1.1 200")
    assert service.popen.wait(30) == 0
    assert list(service.scratch.iterdir()) == []


def test_a_second_signal_ends_everything_at_once(store: Path, tmp_path: Path) -> None:
    content, kind = compare_body(picture(3), picture(4))
    with several(store, tmp_path) as service, half_request(service.port, content, kind):
        service.popen.send_signal(signal.SIGINT)
        wait_until(lambda: service.count("SIGTERM: draining") == PROCESSES)
        assert service.count("SIGINT: draining") == 1
        assert service.popen.poll() is None
        service.popen.send_signal(signal.SIGTERM)
        assert service.popen.wait(10) == 1
    assert list(tmp_path.iterdir()) == []


def test_children_end_with_a_parent_that_is_killed(store: Path, tmp_path: Path) -> None:
    with several(store, tmp_path) as service:
        service.popen.kill()
        # The log's pipe is closed when nobody is left to write to it: `several` waits for that.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.port), timeout=5)
    assert list(tmp_path.iterdir()) == []


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """A service that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_only_a_front_end_finds_wrong_is_said_once(
    store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # A folder named after this test could be too long for a socket in it.
    scratch = tmp_path_factory.mktemp("wrong")
    keys = str(scratch.with_name("absent.json"))
    done = start(**environment(store, scratch, TWINLENS_API_KEYS=keys))
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said.startswith(f"error: the file of API keys {keys} cannot be read")
    assert "key create" in said
    assert "started again" not in done.stderr
    assert list(scratch.iterdir()) == []


def test_a_port_that_is_taken_is_said_before_anything_is_started(
    store: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = start(**environment(store, tmp_path, TWINLENS_PORT=port))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot listen on 127.0.0.1")
    assert list(tmp_path.iterdir()) == []
