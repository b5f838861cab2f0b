"""The image's and the composition's files, as the tools that read them see them."""

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

import pytest
import yaml

from app.settings import Settings
from tests.deploy.stores import check_filling
from tests.deploy.tools import DEPLOY, REPOSITORY, tool

DOCKERFILE = REPOSITORY / "Dockerfile"
CONFIGURATION = DEPLOY / "haproxy" / "haproxy.cfg"


def test_the_dockerfile_is_clean():
    tool("hadolint", "Dockerfile")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "::1"])
def test_the_health_check_and_the_runbook_ask_where_the_service_listens(host: str):
    class Replica(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b"its reason")

        def log_message(self, *args: object) -> None:
            pass

    class Server(TCPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            if ":" in host:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            super().server_bind()

    (found,) = re.findall(r"HEALTHCHECK .*?CMD (\[.*?\])\n", DOCKERFILE.read_text(), re.DOTALL)
    command = [sys.executable, *json.loads(found)[1:]]
    runbook = (REPOSITORY / "docs" / "deploy.md").read_text()
    (reason,) = re.findall(r"docker exec NAME python (-c \".*?\")`", runbook)
    try:
        server = Server((host, 0), Replica)
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")
    environment = {"TWINLENS_HOST": host, "TWINLENS_PORT": str(server.server_address[1])}
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for Replica.status, ill in ((200, 0), (503, 1)):
            done = subprocess.run(command, env=environment, timeout=60, check=False)
            assert done.returncode == ill
        asking = [sys.executable, *shlex.split(reason)]
        said = subprocess.run(asking, env=environment, timeout=60, check=True, capture_output=True)
        assert b"its reason" in said.stdout
        server.shutdown()


def composition(*files: str) -> dict:
    chosen = [part for file in files for part in ("-f", file)]
    return json.loads(tool("docker-compose", *chosen, "config", "--format", "json"))


def test_the_composition_has_its_services_and_one_published_port():
    found = composition("docker-compose.yml")
    assert set(found["services"]) == {"app", "balancer", "prometheus"}
    published = [
        (name, port["host_ip"], port["published"], port["target"])
        for name, service in found["services"].items()
        for port in service.get("ports", [])
    ]
    assert published == [("balancer", "127.0.0.1", "8080", 8080)]
    assert found["services"]["app"]["deploy"]["replicas"] == 2


def test_every_container_has_a_read_only_root_and_no_rights():
    for file in ((), ("docker-compose.gpu.yml",)):
        for service in composition("docker-compose.yml", *file)["services"].values():
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_grafana_comes_with_its_profile():
    config = tool(
        "docker-compose", "-f", "docker-compose.yml", "--profile", "observability", "config"
    )
    assert "grafana" in yaml.safe_load(config)["services"]


def test_the_gpu_file_reserves_one():
    app = composition("docker-compose.yml", "docker-compose.gpu.yml")["services"]["app"]
    (device,) = app["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert device["driver"] == "nvidia"
    assert app["environment"]["TWINLENS_DEVICE"] == "cuda"


def test_the_memory_of_a_replica_is_what_the_documentation_says():
    documentation = (REPOSITORY / "docs" / "deploy.md").read_text()
    (said,) = re.findall(r"no limit; (\d+)g, (\d+)g on a GPU", documentation)
    assert said == (memory("docker-compose.yml"), memory("docker-compose.gpu.yml"))
    (three,) = re.findall(r"single process takes ([\d.]+) GB", documentation)
    (allowed,) = re.findall(r"what the models take \(([\d.]+) GB", documentation)
    assert three == allowed
    # With the bodies of one process, half as much again, and 1 GB for each of two threads.
    assert float(said[0]) >= (float(three) + 0.5) * 1.5 + 2


def memory(file: str) -> str:
    """The gigabytes that a replica may use unless the operator says otherwise."""
    (default,) = re.findall(r"\$\{TWINLENS_MEMORY:-(\d+)g\}", (REPOSITORY / file).read_text())
    return default


def test_on_a_gpu_there_is_memory_for_eight_front_ends():
    # Idle they took 4.3 GiB, and may hold 2 GiB of bodies; those of one process are at home in 6.
    app = composition("docker-compose.yml", "docker-compose.gpu.yml")["services"]["app"]
    assert int(app["mem_limit"]) >= 12 << 30


def test_every_setting_reaches_the_replicas_but_those_that_are_the_containers_own():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    own = {"HOST", "PORT", "API_KEYS", "MODEL_STORE", "ENGINE_CACHE", "DEVICE"}
    documentation = (REPOSITORY / "docs" / "deploy.md").read_text()
    (said,) = [line for line in documentation.splitlines() if "but for six" in line]
    assert {name for name in own if f"`TWINLENS_{name}`" in said} == own
    settings = {
        f"TWINLENS_{name.upper()}" for name in Settings.model_fields if name.upper() not in own
    }
    assert set(yaml.safe_load(text)["services"]["app"]["environment"]) == settings


def test_all_that_the_composition_reads_is_documented_with_its_default():
    text = "".join(path.read_text() for path in REPOSITORY.glob("docker-compose*.yml"))
    documentation = (REPOSITORY / "docs" / "deploy.md").read_text()
    rows = [line for line in documentation.splitlines() if line.startswith("| `")]
    settings = {f"TWINLENS_{name.upper()}" for name in Settings.model_fields} - {"TWINLENS_PORT"}
    read = re.findall(r"\$\{(\w+):-([^}]*)\}", text)
    assert len(read) > 15
    for name, default in read:
        if name not in settings:
            (row,) = [row for row in rows if f"`{name}`" in row]
            assert default in {"", "0"} or default in row, name


@pytest.mark.parametrize(("drain", "grace"), [(None, "30s"), ("40", "45s"), ("2.5", "7.5s")])
def test_a_replica_may_drain_before_it_is_killed(monkeypatch, drain, grace):
    monkeypatch.delenv("TWINLENS_DRAIN_SECONDS", raising=False)
    if drain is not None:
        monkeypatch.setenv("TWINLENS_DRAIN_SECONDS", drain)
    app = composition("docker-compose.yml")["services"]["app"]
    assert app["stop_grace_period"] == grace


def test_the_balancers_memory_is_bounded():
    assert int(composition("docker-compose.yml")["services"]["balancer"]["mem_limit"]) == 2 << 30


def test_the_balancers_limits_are_the_services(monkeypatch):
    text = CONFIGURATION.read_text()
    defaults = dict(re.findall(r"\$\{(TWINLENS_\w+)-(\d+)\}", text))
    fields = {f"TWINLENS_{name.upper()}": f for name, f in Settings.model_fields.items()}
    assert (
        int(defaults.pop("TWINLENS_BALANCER_TIMEOUT")) > fields["TWINLENS_REQUEST_TIMEOUT"].default
    )
    assert {name: fields[name].default for name in defaults} == {
        name: int(value) for name, value in defaults.items()
    }
    # And what is set for the service comes to the balancer, too.
    for name in defaults:
        monkeypatch.setenv(name, "1024")
    passed = composition("docker-compose.yml")["services"]["balancer"]["environment"]
    assert {name: passed[name] for name in defaults} == dict.fromkeys(defaults, "1024")


def test_the_balancer_accepts_its_configuration():
    tool("haproxy", "-c", "-f", CONFIGURATION)


def test_the_balancer_reads_paths_as_the_service_does_decoded():
    # The service answers /%6detrics as /metrics.
    text = CONFIGURATION.read_text()
    public = text[text.index("frontend public") : text.index("backend replicas")]
    conditions = re.findall(r"\{ (path\S*) [^}]*\}", public)
    assert len(conditions) == 3
    assert set(conditions) == {"path,url_dec"}


def test_what_goes_into_the_build_is_what_the_dockerfile_copies():
    kept = {
        line[1:].split("/")[0]
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word
        for line in (REPOSITORY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert kept == copied


def test_of_the_models_those_that_ship_go_into_the_build_with_a_default_among_them():
    # Not the checkout's store.json, whose default may be a model of the user's own.
    ignored = (REPOSITORY / ".dockerignore").read_text()
    shipped = re.findall(
        r"^!/model_store/checkpoints/(\w+/\d+)/$",
        (REPOSITORY / ".gitignore").read_text(),
        re.MULTILINE,
    )
    assert re.findall(r"^!model_store/checkpoints/(.+)$", ignored, re.MULTILINE) == shipped
    assert "default photos" in (REPOSITORY / "Dockerfile").read_text()


@pytest.mark.parametrize("volume", ["$PWD/your-store:/store", "twinlens_models:/store"])
def test_what_puts_new_shipped_models_into_a_store_keeps_what_it_has(tmp_path, volume):
    lines = (REPOSITORY / "docs" / "deploy.md").read_text().splitlines()
    (command,) = [shlex.split(line) for line in lines if volume in line]
    assert command[command.index("--volume") + 1] == volume
    check_filling(command[command.index("twinlens") + 1 :], tmp_path)


def test_the_compositions_volume_has_the_name_that_the_documentation_says():
    found = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    assert (found["name"], "models" in found["volumes"]) == ("twinlens", True)


def test_the_script_that_replaces_replicas_is_a_script():
    script = DEPLOY / "rolling-replace"
    subprocess.run(["sh", "-n", script], check=True)
    assert script.stat().st_mode & 0o111
