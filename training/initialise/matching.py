"""Putting the tensors of one network into another, and saying which found a place.

Names are matched below a common prefix: files from elsewhere call the same layer `conv1.weight`,
`module.conv1.weight` or `backbone.conv1.weight`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError

Tensors = Mapping[str, torch.Tensor]

_SHOWN = 3
_RGB = 3
# Counts batches for a momentum that no backbone uses; older files lack it.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Misshapen:
    """A tensor that has the right name and another shape.

    Attributes:
        name: In the network.
        wanted: The shape it has there.
        found: The shape it has in the file.
    """

    name: str
    wanted: tuple[int, ...]
    found: tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """Which tensors of a file found a place in a network.

    Attributes:
        part: What was to be filled, such as `left backbone`.
        source: Where the tensors came from.
        matched: Names in the network that were filled.
        summed: Those among them whose three input channels were added up to one.
        missed: Names in the network that the file does not have; they stay as they were drawn.
        left_over: Names in the file that the network does not have.
        misshapen: Names in both, of another shape; they stay as they were drawn.
    """

    part: str
    source: str
    matched: tuple[str, ...]
    summed: tuple[str, ...]
    missed: tuple[str, ...]
    left_over: tuple[str, ...]
    misshapen: tuple[Misshapen, ...]

    def lines(self) -> list[str]:
        """It in few words: the counts, and the first names of each kind."""
        total = len(self.matched) + len(self.missed) + len(self.misshapen)
        told = f"initial weights of the {self.part}: {len(self.matched)} of {total} tensors"
        lines = [f"{told} from {self.source}"]
        if self.summed:
            lines.append(f"  summed over the three colours: {_first(self.summed)}")
        if self.missed:
            lines.append(f"  {len(self.missed)} missed, left as drawn: {_first(self.missed)}")
        if self.misshapen:
            shapes = tuple(
                f"{entry.name} ({_shape(entry.found)} there, {_shape(entry.wanted)} here)"
                for entry in self.misshapen
            )
            lines.append(f"  {len(shapes)} of another shape, left as drawn: {_first(shapes)}")
        if self.left_over:
            lines.append(
                f"  {len(self.left_over)} of the source left over: {_first(self.left_over)}"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """All of it, for the run's record."""
        return asdict(self)


def fill(module: nn.Module, tensors: Tensors, *, part: str, source: str) -> Match:
    """Puts tensors into a module wherever name and shape agree.

    A convolution of one input channel takes the sum over the channels of one of three: for a grey
    image that is what the three-channel convolution gives for the same image in colour.

    Args:
        module: Its parameters and buffers are changed in place.
        tensors: By name; one prefix that all of them share on either side does not matter.
        part: What the module is, for the report.
        source: Where the tensors come from, for the report.

    Raises:
        TrainingError: Not one tensor found a place; the message names some of both sides. Or one
            that would has other values than a network's weights.
    """
    own = module.state_dict()
    names = _paired_names(own, tensors)
    matched, summed, misshapen = [], [], []
    with torch.no_grad():
        for name, theirs in names.items():
            target, tensor = own[name], tensors[theirs]
            grey = _is_grey_of(target, tensor)
            if not grey and target.shape != tensor.shape:
                misshapen.append(Misshapen(name, tuple(target.shape), tuple(tensor.shape)))
                continue
            # Not all types can be summed, and a sum may be too large for one.
            tensor = _checked(tensor, target.dtype, f"{theirs} of {source}")
            if grey:
                tensor = tensor.sum(dim=1, keepdim=True)
                summed.append(name)
            target.copy_(tensor)
            matched.append(name)
    if not matched:
        raise TrainingError(
            f"not one tensor of {source} fits the {part}: names such as {_shaped(own)} are "
            f"wanted, and it has {_shaped(tensors) or 'none'}; give weights of the same "
            "architecture"
        )
    found = set(names.values())
    return Match(
        part=part,
        source=source,
        matched=tuple(matched),
        summed=tuple(summed),
        missed=tuple(n for n in own if n not in names and not n.endswith(_COUNTER)),
        left_over=tuple(n for n in tensors if n not in found),
        misshapen=tuple(misshapen),
    )


def _checked(tensor: torch.Tensor, wanted: torch.dtype, told: str) -> torch.Tensor:
    """The same in the type that is wanted, if that is a network's weights' and it can be that.

    Raises:
        TrainingError: It is of whole or complex numbers, or not all of its values are finite.
    """
    if not wanted.is_floating_point:
        return tensor
    kind = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point():
        raise TrainingError(
            f"{told} is of the type {kind}, and a network's weights are floating-point numbers; "
            "give weights that are neither quantised nor complex"
        )
    converted = tensor.to(wanted)
    if not bool(torch.isfinite(converted).all()):
        raise TrainingError(
            f"{told} has values that are no numbers, or too large to be weights; download it "
            "again, or give other weights"
        )
    return converted


def _paired_names(own: Tensors, theirs: Tensors) -> dict[str, str]:
    """Own name → their name, by the pair of prefixes under which most tensors agree.

    Ours is one that all own names share; theirs may be any. What agrees in shape too counts most.
    """
    by_tail: dict[str, list[str]] = {}
    for name in theirs:
        for tail in _tails(name):
            by_tail.setdefault(tail, []).append(name)
    shared = _shared_prefixes(own)
    named: Counter[tuple[str, str]] = Counter()
    agreeing: Counter[tuple[str, str]] = Counter()
    for name, tensor in own.items():
        for prefix in shared:
            tail = name.removeprefix(prefix)
            for candidate in by_tail.get(tail, ()):
                pair = (prefix, candidate.removesuffix(tail))
                named[pair] += 1
                agreeing[pair] += _fits(tensor, theirs[candidate])
    if not named:
        return {}
    here, there = min(named, key=lambda pair: (-agreeing[pair], -named[pair], pair))
    pairs = {name: there + name.removeprefix(here) for name in own}
    return {name: other for name, other in pairs.items() if other in theirs}


def _shared_prefixes(own: Tensors) -> list[str]:
    """Nothing, and what all names have in front, up to each dot of it."""
    first, *others = [name.split(".")[:-1] for name in own]
    count = len(first)
    for parts in others:
        count = min(count, len(parts))
        while first[:count] != parts[:count]:
            count -= 1
    return ["".join(f"{part}." for part in first[:length]) for length in range(count + 1)]


def _tails(name: str) -> list[str]:
    """`a.b.c` → `a.b.c`, `b.c`, `c`."""
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]


def _fits(own: torch.Tensor, other: torch.Tensor) -> bool:
    return own.shape == other.shape or _is_grey_of(own, other)


def _is_grey_of(own: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        own.ndim == other.ndim == 4
        and other.shape[1] == _RGB
        and own.shape[1] == 1
        and own.shape[0] == other.shape[0]
        and own.shape[2:] == other.shape[2:]
    )


def _first(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")


def _shaped(tensors: Tensors) -> str:
    return _first(tuple(f"{name} {_shape(tuple(t.shape))}" for name, t in tensors.items()))


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single value"
