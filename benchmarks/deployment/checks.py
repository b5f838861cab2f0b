"""What the deployment must hold to, each measured on a running composition."""

import asyncio
import contextlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from benchmarks.deployment.stack import REPOSITORY, CommandFailed, Stack
from benchmarks.deployment.steady import SteadyLoad, latency, pairs, seconds_raised

_DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dashboards" / "twinlens.json"
_CALM_SECONDS = 8.0
_AFTER_SECONDS = 8.0
_USED_WITHIN = 10.0
_RAISED_WITHIN = 3.0
_BUILD_TOOLS = ("gcc", "cc", "g++", "make", "ld", "cargo")


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        name: What must hold.
        holds: Whether it does.
        measured: What was seen.
    """

    name: str
    holds: bool
    measured: str


Check = Callable[[Stack, float], Awaitable[list[Result]]]


async def image(stack: Stack, rate: float) -> list[Result]:
    """Who the process is, and what it can write to and find."""
    del rate
    replica = (await stack.replicas())[0]
    user = (await stack.inside(replica, "id", "-u")).strip()
    script = f"for tool in {' '.join(_BUILD_TOOLS)}; do command -v $tool; done; true"
    tools = (await stack.inside(replica, "sh", "-c", script)).split()
    count = "from model_store.cpus import available_cpus; print(available_cpus())"
    limited = ("docker", "run", "--rm", "--cpus", "1", stack.image, "python", "-c", count)
    threads = (await stack.run(*limited)).strip()
    size = int(await stack.run("docker", "image", "inspect", "-f", "{{.Size}}", stack.image))
    writable = await _can_write(stack, replica, "/var/tmp/x")
    return [
        Result("runs as non-root", user != "0", f"user id {user}"),
        Result(
            "its root is read-only", not writable, f"/var/tmp: {'' if writable else 'not '}written"
        ),
        Result(
            "has no build tools", not tools, f"{', '.join(tools) or 'none'}; {size / 1e9:.1f} GB"
        ),
        Result("threads from the container's quota", threads == "1", f"--cpus 1: {threads} CPU"),
    ]


async def _can_write(stack: Stack, replica: str, file: str) -> bool:
    """Whether a file can be made, in a folder where everybody may but for a read-only root."""
    try:
        await stack.inside(replica, "touch", file)
    except CommandFailed:
        return False
    return True


async def balancer(stack: Stack, rate: float) -> list[Result]:
    """What comes through the one port, and what does not."""
    del rate
    request = pairs(2)[0]
    head, _, body = request.partition(b"\r\n\r\n")
    kind = next(line for line in head.decode().split("\r\n") if line.startswith("Content-Type"))
    status, answer = await asyncio.to_thread(
        _ask, stack.port, "POST", "/compare", body, {"Content-Type": kind.split(": ")[1]}
    )
    fields = json.loads(answer) if status == 200 else {}
    probability = fields.get("probability")
    large, refusal = await asyncio.to_thread(
        _ask, stack.port, "POST", "/embed", bytes(34 << 20), {"Content-Type": "image/jpeg"}
    )
    # The service, which would refuse it as well, does so in JSON.
    who = "a replica" if refusal.startswith(b"{") else "the balancer"
    # The second is the first, encoded.
    hidden = {
        (await asyncio.to_thread(_ask, stack.port, "GET", path, b"", {}))[0]
        for path in ("/metrics", "/%6detrics")
    }
    _, listed = await asyncio.to_thread(_ask, stack.port, "GET", "/models", b"", {})
    engines = {model["name"]: model["engine"]["name"] for model in json.loads(listed)["models"]}
    return [
        Result(
            "answers /compare",
            probability is not None and 0 <= probability <= 1,
            f"{status}, model {fields.get('model')}, probability {probability}",
        ),
        Result(
            "computes with the fast engine",
            set(engines.values()) == {"openvino"},
            ", ".join(f"{name}: {engine}" for name, engine in engines.items()),
        ),
        Result(
            "turns bodies of 34 MiB away at the balancer",
            large == 413 and who == "the balancer",
            f"{large} by {who}",
        ),
        Result("keeps /metrics inside", hidden == {404}, ", ".join(map(str, hidden))),
    ]


def _ask(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    # Too large a body is answered before it is out, and the rest refused.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


# Panels of what does not happen in a check, whose series begin when it does.
RARE = {
    "Engine failures",
    "Engines rebuilt",
    "Failing share",
    "Found in the cache",
    "Images dropped unanswered",
    "Largest batch allowed",
    "Not served, by reason",
}


def queries() -> Iterator[tuple[str, str]]:
    """The title of each panel and each of its queries, ready for Prometheus itself."""
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


async def dashboard(stack: Stack, rate: float) -> list[Result]:
    """Whether Prometheus finds the replicas, and every panel has something to show."""
    async with SteadyLoad(stack.port, rate, pairs()):
        await asyncio.sleep(30)
    replicas = len(await stack.replicas())
    found = await stack.prometheus("query", {"query": 'sum(up{job="twinlens"})'})
    up = int(float(found["result"][0]["value"][1])) if found["result"] else 0
    asked = [(title, query) for title, query in queries() if title not in RARE]
    silent = [
        title
        for title, query in asked
        if not (await stack.prometheus("query", {"query": query}))["result"]
    ]
    rules = await stack.prometheus("rules", {"type": "alert"})
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    sick = [rule["name"] for rule in alerts if rule["health"] != "ok"]
    return [
        Result("Prometheus finds every replica", up == replicas, f"{up} of {replicas}"),
        Result(
            "every query of the dashboard has data, but for those of what is rare",
            bool(asked) and not silent,
            f"{len(asked) - len(silent)} of {len(asked)}{'; silent: ' * bool(silent)}"
            + ", ".join(silent),
        ),
        Result(
            "every alert rule is evaluated",
            bool(alerts) and not sick,
            f"{len(alerts) - len(sick)} of {len(alerts)}",
        ),
    ]


async def kills(stack: Stack, rate: float, times: int = 3) -> list[Result]:
    """`docker kill` of one of three replicas under load, several times."""
    await stack.scale(3)
    events = []
    async with SteadyLoad(stack.port, rate, pairs()) as load:
        for _ in range(times):
            await asyncio.sleep(_CALM_SECONDS)
            victim = (await stack.replicas())[0]
            events.append(time.perf_counter())
            await stack.run("docker", "kill", victim)
            await asyncio.sleep(_AFTER_SECONDS)
            await stack.run("docker", "rm", "--volumes", victim)
            await stack.scale(3)
    raised = [
        seconds_raised(load.samples, event, _CALM_SECONDS, _AFTER_SECONDS) for event in events
    ]
    before = [s for event in events for s in load.since(event - _CALM_SECONDS, event)]
    after = [latency(load.since(e, e + _AFTER_SECONDS), 0.99) for e in events]
    return [
        _none_lost(f"docker kill of one of three, {times} times: no request lost", load),
        Result(
            f"… and p99 raised for less than {_RAISED_WITHIN:g} s",
            max(raised) < _RAISED_WITHIN,
            f"for {', '.join(f'{seconds:.1f}' for seconds in raised)} s; p99 of the "
            f"{_AFTER_SECONDS:.0f} s after: {', '.join(f'{1000 * s:.0f}' for s in after)} ms, "
            f"before: {1000 * latency(before, 0.99):.0f} ms",
        ),
    ]


async def replacement(stack: Stack, rate: float) -> list[Result]:
    """Every replica replaced by a new one under load, also one that was killed by hand."""
    await stack.scale(3)
    before = set(await stack.replicas())
    await stack.run("docker", "kill", min(before))
    async with SteadyLoad(stack.port, rate, pairs()) as load:
        await asyncio.sleep(2)
        await stack.run("deploy/rolling-replace")
        await asyncio.sleep(2)
    now = set(await stack.replicas())
    return [
        Result(
            "rolling replacement: all replicas new",
            len(now) == len(before) and not now & before,
            f"{len(now - before)} of {len(now)}",
        ),
        _none_lost("… and no request lost", load),
    ]


async def scaling(stack: Stack, rate: float) -> list[Result]:
    """From two replicas to four under load."""
    await stack.scale(2)
    before = set(await stack.replicas())
    async with SteadyLoad(stack.port, rate, pairs()) as load:
        began = time.perf_counter()
        await stack.scale(4)
        ready = time.perf_counter()
        fresh = set(await stack.replicas()) - before
        used = None
        while used is None and time.perf_counter() < ready + 3 * _USED_WITHIN:
            if all([await stack.compared(replica) for replica in fresh]):
                used = time.perf_counter()
    seconds = "never" if used is None else f"{used - ready:.1f} s"
    return [
        Result(
            f"2 → 4 replicas: both new ones used within {_USED_WITHIN:g} s of being ready",
            used is not None and len(fresh) == 2 and used - ready < _USED_WITHIN,
            f"{seconds}; ready {ready - began:.1f} s after the command",
        ),
        _none_lost("… and no request lost", load),
    ]


def _none_lost(name: str, load: SteadyLoad) -> Result:
    lost = Counter(sample.status for sample in load.samples if sample.lost)
    statuses = ", ".join(f"{count} x {status or 'no answer'}" for status, count in lost.items())
    return Result(
        name,
        not lost and bool(load.samples),
        f"{sum(lost.values())} of {len(load.samples)}{f' ({statuses})' if lost else ''}; "
        f"p50 {1000 * latency(load.samples, 0.5):.0f} ms",
    )


ALL: tuple[Check, ...] = (balancer, image, dashboard, kills, replacement, scaling)
