"""Figures as people write them, for tables."""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue


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


def plain(value: JsonValue) -> str:
    """A value of JSON as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return " – ".join(plain(entry) for entry in value)
    return "–" if value is None else str(value)
