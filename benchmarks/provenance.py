"""Where figures come from: what every result says of itself."""

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_store.cpus import available_cpus


def provenance(module: str) -> dict[str, str | float]:
    """Command, date, machine and load of this moment.

    Args:
        module: The one that was run, as in `python -m`.
    """
    return {
        "command": " ".join(["python", "-m", module, *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{processor()}, {available_cpus()} CPUs",
        "load_average": os.getloadavg()[0],
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the CPU calls itself.

    Args:
        cpuinfo: Where Linux tells; elsewhere Python's name of the architecture must do.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def heading(result: Mapping[str, Any]) -> str:
    """A line about the figures that follow, in Markdown.

    Args:
        result: With what `provenance` gives, `rounds` and `seconds`.
    """
    return (
        f"`{result['command']}`, {result['date']}: {result['machine']}, load average "
        f"{result['load_average']:.1f}; medians of {result['rounds']} rounds of "
        f"{result['seconds']:g} s"
    )
