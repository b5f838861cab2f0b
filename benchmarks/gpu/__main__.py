"""The service on a machine with a CUDA device: `python -m benchmarks.gpu`.

Measures in one run what bounds it (products of matrices, networks on the device, decoding on all
CPUs), and the service itself with one process and with several: JPEG photos in, ResNet-50
embeddings out, cache off. The load comes from processes on the same machine.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from app.settings import PrecisionName
from benchmarks.engines.networks import load
from benchmarks.gpu import device
from benchmarks.output import add_outputs, write_outputs
from benchmarks.processes import exit_on_signals
from benchmarks.provenance import provenance
from benchmarks.service import server, shown
from model_store.cpus import available_cpus

_NETWORK = "resnet50-224"
_PRECISIONS: Mapping[str, PrecisionName] = {_NETWORK: "float16", "vgg16-105": "bfloat16"}
_BATCHES = (1, 8, 32, 64, 128, 256)
_CLIENTS = 4
"""Processes that send requests: one alone is an interpreter too."""

_DECODE = """
import sys, time, torch
from benchmarks.photos import load_photos
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing
torch.set_num_threads(1)
spec, seconds = Preprocessing.model_validate_json(sys.argv[1]), float(sys.argv[2])
files = load_photos(64)[0]
for file in files:
    decode_prepared(file, spec)
print("ready", flush=True)
sys.stdin.readline()
count, end = 0, time.time() + seconds
while time.time() < end:
    decode_prepared(files[count % len(files)], spec)
    count += 1
print(count / seconds)
"""


def decoding(folder: Path, processes: int, seconds: float) -> float:
    """Images a second that so many processes decode, at once, to the network's size."""
    spec = load(_NETWORK, folder).manifest.preprocessing.model_dump_json()
    command = [sys.executable, "-c", _DECODE, spec, str(seconds)]
    return sum(float(printed) for printed in at_once(command, processes))


def at_once(command: Sequence[str], processes: int) -> list[str]:
    """What so many processes print that are told to go when all of them are ready.

    Args:
        command: Of each; it prints a line when it is ready, and goes when it has read one.
        processes: How many.
    """
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        # All of them before any is waited for: they are to share the CPUs.
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate()[0] for process in started]


@contextlib.contextmanager
def service(folder: Path, processes: int) -> Iterator[int]:
    """A service with nothing but the network; gives its port."""
    load(_NETWORK, folder)
    settings = {
        "model_store": str(folder / "models"),
        "default_model": _NETWORK,
        "cache_bytes": "0",
        "store_poll_seconds": "0",
        "queue_images": "4096",
        "processes": str(processes),
        "log_level": "warning",
    }
    with server(**settings) as running:
        yield running.port


def loaded(port: int, seconds: float, clients: int, *options: str) -> dict[str, Any]:
    """What several load generators found at once; the slowest one's latencies."""
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(seconds), *options]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    before = _cpu_times()
    found = [json.loads(process.communicate()[0]) for process in started]
    if not any(each["answered"] for each in found):
        sys.exit(f"error: not one request was answered: {[each['failures'] for each in found]}")
    idle, total = (now - then for now, then in zip(_cpu_times(), before, strict=True))
    return {
        "images_per_second": sum(each["images_per_second"] for each in found),
        **{name: _slowest([each[name] for each in found]) for name in ("p50_ms", "p99_ms")},
        "client_cpu_ms": statistics.mean(each["client_cpu_ms"] for each in found),
        "cpus_busy": 1 - idle / max(total, 1e-9),
        "failures": [each["failures"] for each in found if each["failures"]],
        "overdue": sum(each["overdue"] for each in found),
    }


def _slowest(latencies: Sequence[float | None]) -> float | None:
    """The longest; None, where nothing was answered, is longer than any."""
    answered = [each for each in latencies if each is not None]
    return max(answered) if len(answered) == len(latencies) else None


def _cpu_times() -> tuple[float, float]:
    """Idle and all ticks of this machine's CPUs."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return float(ticks[3] + ticks[4]), float(sum(ticks))


def serving(
    folder: Path, processes: Sequence[int], levels: Sequence[int], seconds: float
) -> list[dict[str, Any]]:
    """Closed loop at several levels, and open loop at half of the best rate, by processes."""
    rows = []
    for count in processes:
        with service(folder, count) as port:
            row: dict[str, Any] = {"processes": count, "closed": {}}
            row["alone"] = loaded(port, seconds, 1, "--warm-up", "1")
            for level in levels:
                each = str(level // _CLIENTS)
                options = ("--concurrency", each, "--warm-up", "1")
                row["closed"][level] = loaded(port, seconds, _CLIENTS, *options)
            best = max(found["images_per_second"] for found in row["closed"].values())
            half = str(best / 2 / _CLIENTS)
            row["half"] = loaded(port, seconds, _CLIENTS, "--rate", half, "--warm-up", "1")
            row["images_per_second"] = best
        rows.append(row)
        _say(_line(row))
    return rows


def _line(row: Mapping[str, Any]) -> str:
    levels = "; ".join(
        f"{level}: {found['images_per_second']:,.0f}/s p99 {shown(found['p99_ms'])} ms, "
        f"{found['cpus_busy']:.0%} of the CPUs"
        for level, found in row["closed"].items()
    )
    half, alone = row["half"], row["alone"]
    return (
        f"{row['processes']} process(es): alone p50 {shown(alone['p50_ms'], 1)} ms; "
        f"in flight {levels}; at half of the best rate ({half['images_per_second']:,.0f}/s) "
        f"p50 {shown(half['p50_ms'], 1)}, p99 {shown(half['p99_ms'], 1)} ms"
    )


def _say(line: str) -> None:
    print(line, flush=True)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All of it."""
    result: dict[str, Any] = {
        **provenance("benchmarks.gpu"),
        "device": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
    }
    _say(f"{result['device']}; {result['machine']}; PyTorch {result['torch']}; {result['date']}")
    result["networks"] = []
    for name, precision in _PRECISIONS.items():
        rate = statistics.median(device.matrix_rate() for _ in range(3))
        found = device.measure(name, precision, _BATCHES, folder, options.seconds / 4)
        found["matrix_rate"] = rate
        result["networks"].append(found)
        for way, rates in found["images_per_second"].items():
            shares = ", ".join(
                f"{batch}: {value:,.0f}/s ({value * found['operations'] / rate:.0%})"
                for batch, value in rates.items()
            )
            _say(f"{name} in {precision}, {way}: {shares} of {rate / 1e12:.0f} TFLOP/s")
    forward = max(result["networks"][0]["images_per_second"]["engine"].values())
    result["decoding"] = {
        count: decoding(folder, count, options.seconds) for count in (1, available_cpus())
    }
    for count, value in result["decoding"].items():
        _say(f"decoding, {count} process(es): {value:,.0f} images/s")
    limit = min(forward, max(result["decoding"].values()))
    result["limit"] = limit
    # This process's own place on the device is not wanted while the service runs.
    torch.cuda.empty_cache()
    time.sleep(0.2)
    result["serving"] = serving(folder, options.processes, options.in_flight, options.seconds)
    for row in result["serving"]:
        share = row["images_per_second"] / limit
        _say(f"{row['processes']} process(es): {share:.2f} of the limit of {limit:,.0f} images/s")
    return result


def main() -> None:
    """Runs, prints, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    half = max(2, available_cpus() // 2)
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, half, max(2, available_cpus() - 2)]
    )
    parser.add_argument(
        "--in-flight", type=int, nargs="+", default=[32, 128, 256, 384], help="requests at a time"
    )
    add_outputs(parser)
    options = parser.parse_args()
    exit_on_signals()
    if not torch.cuda.is_available():
        sys.exit("error: this machine has no CUDA device that PyTorch can use")
    with tempfile.TemporaryDirectory(prefix="twinlens-") as folder:
        write_outputs(options, measure(options, Path(folder)))


if __name__ == "__main__":
    main()
