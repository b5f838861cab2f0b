"""Twinlens and other servers side by side: `python -m benchmarks.peers`.

All run at once and are frozen while another is measured, so that rounds interleave: each figure is
the median over the rounds, and each round's ratios hold for the machine as it was at that moment.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.inference.cpus import available_cpus
from benchmarks.load import PHOTOS
from benchmarks.peers.chart import draw
from benchmarks.peers.servers import PEERS, Server, started
from benchmarks.photos import load_photos

_FIGURES = ("images_per_second", "p50_ms", "p99_ms", "cpu_ms", "client_cpu_ms")
_OPEN_LOOP_SHARE = 0.5


def load(server: Server, seconds: float, *options: str) -> dict[str, Any]:
    """What a load generator in a process of its own found, and the server's CPU time a request."""
    command = [sys.executable, "-m", "benchmarks.load", str(server.port), str(seconds)]
    before = server.cpu_seconds()
    done = subprocess.run(
        [*command, "--kind", server.peer.kind, *options], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    answered = max(1.0, found["images_per_second"] * seconds)
    return {**found, "cpu_ms": 1000 * (server.cpu_seconds() - before) / answered}


def rounds(
    servers: list[Server], options: argparse.Namespace, levels: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Medians by server and level."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds} …", file=sys.stderr)
        for level, arguments in levels.items():
            for server in servers:
                server.thaw()
                load(server, 0.5, "--concurrency", "4")
                result = load(server, options.seconds, *arguments)
                server.freeze()
                found.setdefault((server.peer.name, level), []).append(result)
    return {
        server.peer.name: {level: _median(found[server.peer.name, level]) for level in levels}
        for server in servers
    }


def _median(results: list[dict[str, Any]]) -> dict[str, float]:
    medians = {
        name: statistics.median(result[name] or 0.0 for result in results) for name in _FIGURES
    }
    return {**medians, "failures": sum(sum(r["failures"].values()) for r in results)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything: with the network, and with a constant in its place."""
    closed = {f"closed {n}": ("--concurrency", str(n)) for n in options.concurrency}
    environment = {"TWINLENS_ENGINE": options.engine}
    with contextlib.ExitStack() as stack:
        servers = _start(stack, options, environment)
        whole = rounds(servers, options, closed)
        rate = _OPEN_LOOP_SHARE * whole["Twinlens"][list(closed)[-1]]["images_per_second"]
        opened = rounds(servers, options, {"open": ("--rate", f"{rate:.1f}")})
    with contextlib.ExitStack() as stack:
        servers = _start(stack, options, {**environment, "TWINLENS_BENCH_CONSTANT": "1"})
        alone = rounds(servers, options, {"closed 8": ("--concurrency", "8")})
    return {
        "command": f"python -m benchmarks.peers {' '.join(sys.argv[1:])}".strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {available_cpus()} CPUs",
        "load_average": os.getloadavg()[0],
        "images": load_photos(PHOTOS)[1],
        "engine": options.engine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "open_loop_rate": rate,
        "servers": {name: {**levels, **opened[name]} for name, levels in whole.items()},
        "server_alone": {name: levels["closed 8"] for name, levels in alone.items()},
    }


def _start(
    stack: contextlib.ExitStack, options: argparse.Namespace, environment: dict[str, str]
) -> list[Server]:
    servers = []
    for peer in PEERS:
        if options.only and peer.name not in options.only:
            continue
        print(f"starting {peer.name} …", file=sys.stderr)
        server = stack.enter_context(started(peer, options.venvs, environment))
        server.freeze()
        servers.append(server)
    return servers


def report(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    levels = list(next(iter(result["servers"].values())))
    heads = " | ".join(f"{level}: images/s | p50 ms | p99 ms" for level in levels)
    about = (
        f"`{result['command']}`, {result['date']}: {result['machine']}, load average "
        f"{result['load_average']:.1f}; {result['images']}; engine {result['engine']}; medians of "
        f"{result['rounds']} rounds of {result['seconds']:g} s; open loop at "
        f"{result['open_loop_rate']:.0f} requests/s"
    )
    lines = [
        about,
        "",
        f"| | {heads} | CPU ms a request of the server alone |",
        "|---" * (3 * len(levels) + 2) + "|",
    ]
    for name, found in result["servers"].items():
        cells = [
            f"{row['images_per_second']:.0f} | {row['p50_ms']:.0f} | {row['p99_ms']:.0f}"
            for row in found.values()
        ]
        alone = result["server_alone"][name]["cpu_ms"]
        lines.append(f"| {name} | {' | '.join(cells)} | {alone:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Runs, prints, and writes what it is asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these servers")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=Path.home() / ".cache" / "twinlens" / "peers",
        help="where the servers are installed, a virtual environment each",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    result = measure(options)
    print(report(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plot is not None:
        draw(result, options.plot)


if __name__ == "__main__":
    main()
