"""What a recipe's `start` asks for, put into a network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from model_store import checkpoint as checkpoints
from model_store.network import NetworkSpec, SiameseNetwork
from model_store.network.specification import BranchSpec
from model_store.store import ModelStore
from training.errors import TrainingError
from training.initialise.faces import dlib_weights
from training.initialise.files import read_tensors
from training.initialise.imagenet import imagenet_weights
from training.initialise.matching import Match, fill
from training.initialise.named import folder_named
from training.recipe import DLIB, IMAGENET, Start

_SIDES = ("left", "right")
_LEFT, _RIGHT = "branches.0.", "branches.1."

Source = tuple[Mapping[str, torch.Tensor], str]
"""Tensors by name, and what to call where they came from."""


@dataclass(frozen=True)
class StartReport:
    """What a network started from.

    Attributes:
        matches: One for each part that was filled.
        copied: Whether the right branch began as a copy of the left.
    """

    matches: tuple[Match, ...]
    copied: bool

    def lines(self) -> list[str]:
        """It in few words, a line each; none where all weights were drawn."""
        lines = [line for match in self.matches for line in match.lines()]
        if self.copied:
            lines.append("both branches start from the same weights")
        return lines

    def to_json(self) -> bytes:
        """All of it, as a file."""
        content = {
            "both_branches_alike": self.copied,
            "parts": [match.to_json() for match in self.matches],
        }
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


class Origin:
    """Weights at hand, to be put into a network.

    Args:
        start: What the recipe asks for.
        backbones: The tensors for the backbone of each branch, if it asks for those.
        whole: The tensors of a whole network, if it asks for those.
    """

    def __init__(
        self, start: Start, backbones: tuple[Source | None, ...] = (), whole: Source | None = None
    ) -> None:
        self._start = start
        self._backbones = backbones
        self._whole = whole

    def fill(self, network: SiameseNetwork) -> StartReport:
        """Puts the weights into a network whose weights are drawn.

        Two branches of one specification start alike, unless the recipe says otherwise.

        Raises:
            TrainingError: Not one tensor found a place.
        """
        copied = self._start.same_sides and _alike(network.spec)
        if copied:
            network.branches[1].load_state_dict(network.branches[0].state_dict())
        matches: list[Match] = []
        if self._whole is not None:
            matches.append(_fill_whole(network, *self._whole))
        for position, source in enumerate(self._backbones):
            if source is not None:
                part = "backbone" if network.shares_weights else f"{_SIDES[position]} backbone"
                backbone = network.branches[position].get_submodule("backbone")
                matches.append(fill(backbone, source[0], part=part, source=source[1]))
        return StartReport(tuple(matches), copied and self._start.right_backbone is None)


def open_origin(start: Start, spec: NetworkSpec, store: ModelStore) -> Origin:
    """Fetches what a recipe's `start` asks for, before anything that takes long begins.

    Args:
        start: The recipe's.
        spec: The network's.
        store: Where a model is looked for by name.

    Raises:
        TrainingError, StoreError: It cannot be had; the message says what to do instead.
    """
    if start.model is not None:
        found = checkpoints.load(folder_named(start.model, store))
        name = f"model '{found.manifest.name}' version {found.manifest.version}"
        return Origin(start, whole=(found.network.state_dict(), name))
    if start.backbone is None and start.right_backbone is None:
        return Origin(start)
    if start.right_backbone is not None and len(spec.branches) == 1:
        raise TrainingError(
            "start.right_backbone is for a network of two branches, and this one has one; give "
            "start.backbone"
        )
    left = start.backbone
    right = left if start.right_backbone is None else start.right_backbone
    opened: dict[tuple[str, str], Source] = {}
    backbones: list[Source | None] = []
    for wanted, branch in zip((left, right), spec.branches, strict=False):
        if wanted is None:
            backbones.append(None)
            continue
        key = (wanted, branch.model_dump_json())
        if key not in opened:
            opened[key] = _source(wanted, branch)
        backbones.append(opened[key])
    return Origin(start, tuple(backbones))


def _source(wanted: str, branch: BranchSpec) -> Source:
    if wanted == IMAGENET:
        return imagenet_weights(branch)
    if wanted == DLIB:
        return dlib_weights(branch)
    return read_tensors(Path(wanted).expanduser()), Path(wanted).name


def _fill_whole(network: SiameseNetwork, tensors: Mapping[str, torch.Tensor], source: str) -> Match:
    if not network.shares_weights and not any(name.startswith(_RIGHT) for name in tensors):
        rights = {
            _RIGHT + name.removeprefix(_LEFT): tensor
            for name, tensor in tensors.items()
            if name.startswith(_LEFT)
        }
        tensors = {**tensors, **rights}
    return fill(network, tensors, part="network", source=source)


def _alike(spec: NetworkSpec) -> bool:
    return len(spec.branches) == 2 and spec.branches[0] == spec.branches[1]
