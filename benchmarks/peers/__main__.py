"""Twinlens and other servers side by side: `python -m benchmarks.peers`.

All run at once and are frozen while another is measured, so that rounds interleave: each figure is
the median over the rounds, and each round's ratios hold for the machine as it was at that moment.
Three comparisons, with Twinlens in each: the others with its decoding and engine, with its engine
and Pillow's decoding, and with Pillow's decoding and plain PyTorch.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.inference.engines import make_engine
from app.settings import EngineName, Settings
from benchmarks import service
from benchmarks.load import PHOTOS
from benchmarks.output import add_outputs, write_outputs
from benchmarks.peers import plain
from benchmarks.peers.chart import draw
from benchmarks.peers.pipeline import CONSTANT, PLAIN_NETWORK
from benchmarks.peers.servers import PEERS, Peer, Server, interpreter, started
from benchmarks.peers.table import report
from benchmarks.photos import load_photos
from benchmarks.processes import exit_on_signals
from benchmarks.provenance import provenance
from benchmarks.service import MODEL, medians
from model_store import ModelStore
from model_store.shipped import SHIPPED

OURS = PEERS[0].name
COMPARISONS = ("ours", "pillow", "torch")

FIGURES = ("images_per_second", "p50_ms", "p99_ms", "cpu_ms", "client_cpu_ms")
_OPEN_LOOP_SHARE = 0.5
_WARM_UP_SECONDS = 0.5


def load(server: Server, seconds: float, *options: str) -> dict[str, Any]:
    """What a load generator in a process of its own found, and the server's CPU time a request."""
    before = server.processes.cpu_seconds()
    found = service.load(
        server.port,
        seconds,
        *("--kind", server.peer.kind, "--warm-up", str(_WARM_UP_SECONDS), *options),
    )
    used = server.processes.cpu_seconds() - before
    return {**found, "cpu_ms": 1000 * used / max(1, found["answered"])}


def rounds(
    servers: list[Server], options: argparse.Namespace, levels: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Medians by server and level."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds} …", file=sys.stderr)
        for level, arguments in levels.items():
            for server in servers:
                server.processes.thaw()
                result = load(server, options.seconds, *arguments)
                server.processes.freeze()
                found.setdefault((server.peer.name, level), []).append(result)
    return {
        server.peer.name: {
            level: medians(found[server.peer.name, level], FIGURES) for level in levels
        }
        for server in servers
    }


def compare(
    peers: list[Peer],
    options: argparse.Namespace,
    environment: Mapping[str, str],
    *,
    steady: bool = False,
) -> dict[str, Any]:
    """Servers side by side at each concurrency.

    Args:
        peers: The servers.
        options: From the command line.
        environment: For each but Twinlens, beside what all have.
        steady: Whether also at a constant rate.
    """
    levels = {f"closed {n}": ("--concurrency", str(n)) for n in options.concurrency}
    with _all_started(peers, options, environment) as servers:
        found = rounds(servers, options, levels)
        result: dict[str, Any] = {"servers": found}
        if steady:
            rate = _OPEN_LOOP_SHARE * found[OURS][list(levels)[-1]]["images_per_second"]
            opened = rounds(servers, options, {"open": ("--rate", f"{rate:.1f}")})
            result["open_loop_rate"] = rate
            for name, figures in found.items():
                figures.update(opened[name])
    return result


def begun(options: argparse.Namespace) -> dict[str, Any]:
    """What is known of a run before anything is measured."""
    return {
        **provenance("benchmarks.peers"),
        "images": load_photos(PHOTOS)[1],
        "engine": options.engine,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "comparisons": {},
    }


def measure(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """All comparisons that are wanted, and what each server costs without network and decoding.

    Args:
        options: From the command line.
        result: From `begun`; each figure is added once it is there.
    """
    peers = [peer for peer in PEERS if peer.name == OURS or peer.name in options.only]
    comparisons = result["comparisons"]
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.xml"
        plain.convert(ModelStore(SHIPPED).load(MODEL).network, network)
        pillow = {PLAIN_NETWORK: str(network), "TWINLENS_PRECISION": _precision(options.engine)}
        if "ours" in options.comparisons:
            comparisons["ours"] = compare(peers, options, {}, steady=True)
        if "pillow" in options.comparisons:
            comparisons["pillow"] = compare(peers, options, pillow)
        if "torch" in options.comparisons:
            torch = {**pillow, "TWINLENS_ENGINE": "torch", "TWINLENS_PRECISION": "float32"}
            comparisons["torch"] = compare(peers, options, torch)
    if "ours" in options.comparisons:
        with _all_started(peers, options, {}, {CONSTANT: "1"}) as servers:
            alone = rounds(servers, options, {"closed 8": ("--concurrency", "8")})
        result["server_alone"] = {name: levels["closed 8"] for name, levels in alone.items()}


def _precision(name: EngineName) -> str:
    """What Twinlens computes in on this machine."""
    settings = Settings()
    engine = make_engine(
        ModelStore(SHIPPED).load(MODEL),
        engine=name,
        device="cpu",
        precision=settings.precision,
        cache=settings.engine_cache,
    )
    engine.close()
    return engine.precision


@contextlib.contextmanager
def _all_started(
    peers: list[Peer],
    options: argparse.Namespace,
    others: Mapping[str, str],
    everyone: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[list[Server]]:
    """Servers that answer and are frozen.

    Args:
        peers: The servers.
        options: From the command line.
        others: Environment of each but Twinlens.
        everyone: Environment of all.
    """
    with contextlib.ExitStack() as stack:
        servers = []
        for peer in peers:
            print(f"starting {peer.name} …", file=sys.stderr)
            environment = {"TWINLENS_ENGINE": options.engine, **everyone}
            if peer.name != OURS:
                environment.update(others)
            server = stack.enter_context(started(peer, options.venvs, environment))
            server.processes.freeze()
            servers.append(server)
        yield servers


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto")
    parser.add_argument(
        "--comparisons",
        choices=COMPARISONS,
        nargs="+",
        default=COMPARISONS,
        help="of Twinlens with others that have its decoding and engine (ours), its engine and "
        "Pillow's decoding (pillow), Pillow's decoding and eager PyTorch (torch)",
    )
    names = [peer.name for peer in PEERS[1:]]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="of the others")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=Path.home() / ".cache" / "twinlens" / "peers",
        help="where the servers are installed, a virtual environment each",
    )
    add_outputs(parser, plot=True)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, prints, and writes what it is asked to."""
    options = parse()
    exit_on_signals()
    for peer in PEERS:
        if peer.name in options.only:
            interpreter(peer, options.venvs)  # Installs what is not there yet.
    result = begun(options)
    try:
        measure(options, result)
    finally:
        # What is finished is not lost with what failed. Files first: the terminal may be gone.
        if result["comparisons"]:
            write_outputs(options, result, draw)
            print(report(result))


if __name__ == "__main__":
    main()
