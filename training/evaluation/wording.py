"""Figures as people write them, for tables."""

from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import JsonValue

from model_store.manifest import Evaluation


def rows_of(figures: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, value and interval of every figure; nested ones below their name."""
    for name, value in figures.items():
        if name == "interval" or name.endswith("_interval"):
            continue
        interval = figures.get(f"{name}_interval", figures.get("interval"))
        if isinstance(value, dict):
            both = dict(value)
            if isinstance(interval, dict):
                both |= {f"{key}_interval": entry for key, entry in interval.items()}
            yield from rows_of(both, f"{prefix}{name} ")
        else:
            shown = interval if isinstance(value, float) and isinstance(interval, list) else None
            yield f"{prefix}{name}", plain(value), "" if shown is None else plain(shown)


def decimal(value: float) -> str:
    """Four decimals, or of what is below a tenth three digits: small rates are not all 0.0000.

    Those of less than one in a million are, such as the lower end of an interval.
    """
    if not 1e-6 <= abs(value) < 0.1:
        return f"{value:.4f}"
    return np.format_float_positional(value, precision=3, unique=False, fractional=False, trim="k")


def plain(value: JsonValue) -> str:
    """A value of JSON as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return " – ".join(plain(entry) for entry in value)
    return "–" if value is None else str(value)


def ways_of(figures: Mapping[str, JsonValue]) -> str:
    """Among how many candidates one-shot trials had to choose: 20, or 5 to 20; empty if unknown."""
    most = figures.get("ways")
    fewest = figures.get("fewest_ways", most)
    if most is None:
        return ""
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def told_calibrated_by(evaluation: Evaluation) -> str:
    """What calibrated the figures of an evaluation, in a sentence; empty if the model's own did."""
    by = evaluation.calibrated_by
    return f"Its calibration error and rates at a threshold: calibrated by {by}." if by else ""
