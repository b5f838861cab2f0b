"""How much of everything."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Scale:
    """The amounts of a run.

    Attributes:
        overload_seconds: Of ten times the load that can be served.
        requests: In the run that memory must not grow in.
        leavers: Clients that leave half-way, and as many that leave once they have sent all.
        slow: Clients that send one byte a second.
        steady_seconds: Of a well-behaved client's requests beside each of those; as long alone.
        flips: Single-bit flips over a checkpoint.
        kills: Times that a `fit` is killed.
        steps: Training steps of that `fit`.
        decodes: Mutated files through the decoder.
        posts: Mutated requests through HTTP.
        examples: Requests that schemathesis makes for each operation and phase.
    """

    overload_seconds: int = 180
    requests: int = 200_000
    leavers: int = 1000
    slow: int = 500
    steady_seconds: int = 20
    flips: int = 10_000
    kills: int = 50
    steps: int = 60
    decodes: int = 100_000
    posts: int = 100_000
    examples: int = 100


FULL = Scale()
SMALL = Scale(
    overload_seconds=30,
    requests=10_000,
    steady_seconds=10,
    kills=3,
    posts=3_000,
    examples=30,
)


def changed(scale: Scale, changes: list[str]) -> Scale:
    """A scale with some amounts replaced.

    Args:
        scale: The others come from it.
        changes: `name=value` each.

    Raises:
        ValueError: There is no such amount, or it is no whole number above 0.
    """
    names = {field.name for field in fields(Scale)}
    values = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in names or not value.isdecimal() or not int(value):
            raise ValueError(f"'{change}': give NAME=NUMBER with one of {', '.join(sorted(names))}")
        values[name] = int(value)
    return replace(scale, **values)
