"""What the process says before it serves."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.security.keys import new_key, write_keys
from tests.app.serving import REPOSITORY, in_process


def test_without_keys_being_open_to_others_and_a_rate_limit_are_warned_of(store: Path) -> None:
    with in_process(store, TWINLENS_HOST="0.0.0.0", TWINLENS_RATE_LIMIT="10") as process:
        warnings = [str(line["message"]) for line in process.lines if line["level"] == "warning"]
    for warning in ("without API keys", "TWINLENS_RATE_LIMIT changes nothing"):
        assert any(warning in message for message in warnings)


def test_with_keys_nothing_is_warned_of_and_the_key_is_asked_for(
    store: Path, tmp_path: Path
) -> None:
    key, record = new_key("one")
    write_keys(tmp_path / "keys.json", (record,))
    keys = str(tmp_path / "keys.json")
    with in_process(
        store, TWINLENS_HOST="0.0.0.0", TWINLENS_API_KEYS=keys, TWINLENS_RATE_LIMIT="10"
    ) as process:
        url = f"http://127.0.0.1:{process.port}/models"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"x-api-key": key}).status_code == 200
        said = [str(line["message"]) for line in process.lines]
        for warning in ("without API keys", "TWINLENS_RATE_LIMIT"):
            assert not any(warning in message for message in said)


def without_keys(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with these words, where the file of keys is not there."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        # A free port, as a service may be running on the usual one.
        env={
            **os.environ,
            "TWINLENS_PORT": "0",
            # Else NumPy may have a single thread anyway.
            "OMP_NUM_THREADS": "2",
            "OPENBLAS_NUM_THREADS": "2",
            "TWINLENS_API_KEYS": str(tmp_path / "absent.json"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_keys_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    done = without_keys(tmp_path, "-m", "app")
    assert done.returncode == 2
    assert "key create" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_ends_it_with_status_0(number: signal.Signals) -> None:
    """With no handler, the first process of a container would not be sent it."""
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "app"],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        assert popen.stderr is not None
        next(line for line in popen.stderr if line.split()[-1] == "app.api")
        popen.send_signal(number)
        said = [line for line in popen.stderr if not line.startswith("import time:")]
        assert popen.wait(60) == 0
    assert said == []


def test_a_port_that_is_taken_is_said_in_one_line(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "app"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "TWINLENS_MODEL_STORE": str(store),
                "TWINLENS_PORT": str(port),
                "TWINLENS_ENGINE": "torch",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port}" in line
    assert "TWINLENS_PORT" in line


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """What is asked of a process that gets as far as reading its keys."""
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    script = (
        f"import json, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, {hard}));"
        "from app.__main__ import main; from threadpoolctl import threadpool_info; main([]);"
        "pools = [pool for pool in threadpool_info() if pool['user_api'] == 'blas'];"
        "several = [name for name in sys.modules if name.startswith('app.processes')];"
        "print(json.dumps({'threads': [pool['num_threads'] for pool in pools],"
        "'files': resource.getrlimit(resource.RLIMIT_NOFILE), 'several': several}))"
    )
    done = without_keys(tmp_path_factory.mktemp("alone"), "-c", script)
    assert done.returncode == 0, done.stderr
    assert "key create" in done.stderr
    return json.loads(done.stdout)


def test_cores_are_spared_and_files_are_not(alone: dict[str, list[object]]) -> None:
    assert alone["threads"]
    assert set(alone["threads"]) == {1}, "those of NumPy would spin"
    assert alone["files"][0] > 200


def test_a_process_that_is_alone_has_nothing_of_several(alone: dict[str, list[object]]) -> None:
    assert alone["several"] == []
