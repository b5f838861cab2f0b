"""The composition of docker-compose.yml, driven through `docker compose`."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.service import free_port

REPOSITORY = Path(__file__).parents[2]
_PROJECT = "twinlens-check"
_IMAGE = "twinlens:check"


class CommandFailed(Exception):
    """A command of Docker's did not end well; the message has what it said."""


class Stack:
    """A composition of its own, beside any other that runs on this machine.

    Args:
        settings: Further variables for docker-compose.yml.

    Attributes:
        port: Of the balancer, on 127.0.0.1.
        image: Of the replicas.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.image = _IMAGE
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": _PROJECT,
            "TWINLENS_IMAGE": _IMAGE,
            "TWINLENS_PORT": str(self.port),
            "TWINLENS_BIND": "127.0.0.1",
            # So that every request keeps a replica busy for a while.
            "TWINLENS_CACHE_BYTES": "0",
            **(settings or {}),
        }

    async def run(self, *command: str) -> str:
        """Runs a command in the repository; gives its output.

        Raises:
            CommandFailed: Its status is not 0.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=REPOSITORY,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            said = (errors.decode().strip() or output.decode().strip())[-2000:]
            raise CommandFailed(f"{' '.join(command)}: status {process.returncode}: {said}")
        return output.decode()

    async def compose(self, *arguments: str) -> str:
        """Runs `docker compose` with these arguments."""
        return await self.run("docker", "compose", *arguments)

    async def scale(self, replicas: int) -> None:
        """Brings up so many replicas, and waits until all are healthy."""
        await self.compose(
            "up", "--detach", "--wait", "--no-recreate", "--scale", f"app={replicas}"
        )

    async def down(self) -> None:
        """Takes everything down, with its volumes."""
        await self.compose("down", "--volumes", "--remove-orphans", "--timeout", "35")

    async def replicas(self) -> list[str]:
        """The ids of the running replicas."""
        return (await self.compose("ps", "--quiet", "app")).split()

    async def inside(self, container: str, *command: str) -> str:
        """Runs a command in a container; gives its output."""
        return await self.run("docker", "exec", container, *command)

    async def fetch(self, url: str) -> str:
        """What a service of the composition answers to a GET from inside of it."""
        replica = (await self.replicas())[0]
        script = (
            f"import urllib.request as u; print(u.urlopen({url!r}, timeout=10).read().decode())"
        )
        return await self.inside(replica, "python", "-c", script)

    async def prometheus(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What Prometheus' API answers: its `data`."""
        url = f"http://prometheus:9090/api/v1/{path}?{urlencode(parameters)}"
        data: dict[str, Any] = json.loads(await self.fetch(url))["data"]
        return data

    async def compared(self, container: str) -> float:
        """How many comparisons a replica has answered since it began."""
        script = (
            "import urllib.request as u; "
            "print(u.urlopen('http://127.0.0.1:8000/metrics', timeout=10).read().decode())"
        )
        exposition = await self.inside(container, "python", "-c", script)
        lines = [
            line
            for line in exposition.splitlines()
            if line.startswith("twinlens_requests_total") and 'route="/compare"' in line
        ]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def cpu_seconds(self, service: str) -> float:
        """CPU time that the running containers of a service have used so far, together."""
        usage = (
            "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null"
            " || sed -n 's/^usage_usec \\(.*\\)/\\1000/p' /sys/fs/cgroup/cpu.stat"
        )
        containers = (await self.compose("ps", "--quiet", service)).split()
        used = [await self.inside(container, "sh", "-c", usage) for container in containers]
        return sum(map(int, used)) / 1e9
