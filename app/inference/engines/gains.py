"""How many times as fast bfloat16 is on this CPU: kept, so that every start decides the same.

A measurement that a busy moment disturbs can come out on the other side of the bound. Scores would
then change from one start to the next, and embeddings of both kinds get mixed.
"""

import hashlib
import logging
from functools import cache
from pathlib import Path

from app.inference.engines.openvino_runtime import runtime
from model_store.files import replace_file, write_durably

_logger = logging.getLogger(__name__)

_CPUS = Path("/proc/cpuinfo")
_FLAGS = ("flags", "Features")
"""What x86 and ARM call the line that names what a CPU can do."""

_ARITHMETIC = ("avx", "amx", "fma", "bf16", "asimd", "sve", "sme", "fphp", "i8mm")


def read_gain(folder: Path) -> float | None:
    """What was measured on a CPU like this one; None where nothing was.

    Args:
        folder: Of the converted network.
    """
    try:
        gain = float((folder / _name()).read_text())
    except (OSError, ValueError):
        return None
    return gain if gain > 0 else None


def keep_gain(folder: Path, gain: float) -> float:
    """Keeps what was measured, and gives what all should go by: the first that was kept.

    Args:
        folder: Of the converted network.
        gain: Over 0.
    """
    text = f"{gain:.3f}"
    file = folder / _name()
    try:
        try:
            write_durably(file, text.encode())
        except FileExistsError:
            # Another process was quicker, unless it died over it.
            kept = read_gain(folder)
            if kept is not None:
                return kept
            replace_file(file, text.encode())
    except OSError as error:
        _logger.warning(
            "how fast bfloat16 is here cannot be kept, so that the next start measures again and "
            "may decide otherwise: %s; name a folder of this user's own in TWINLENS_ENGINE_CACHE, "
            "or set TWINLENS_PRECISION",
            error,
        )
    return float(text)


@cache
def _name() -> str:
    """Names all that the speed of arithmetic depends on, so that CPUs can share a folder."""
    core = runtime()
    parts = (
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        *sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        *_flags(),
    )
    return f"gain-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def _flags() -> list[str]:
    """What the CPU can do; virtual machines may hide some of it under the same name of a model."""
    try:
        lines = _CPUS.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        label, _, words = line.partition(":")
        if label.strip() in _FLAGS:
            return sorted(word for word in words.split() if word.startswith(_ARITHMETIC))
    return []
