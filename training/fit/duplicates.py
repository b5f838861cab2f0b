"""Images that are there more than once: under two class names, on two sides, or in two parts."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from model_store.cpus import available_cpus
from model_store.network import Side
from training.data.fingerprints import Fingerprints, near_pairs, take_fingerprints
from training.data.folders import ImageFolder
from training.data.parts import Parts, Unusable
from training.data.sources import Skipped
from training.naming import NAMED, named
from training.progress import Reporter, Task
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe

MOST_LOOKED_AT = 20_000
"""Images of each part among which duplicates are looked for."""

_PURPOSES = ("training", "validation", "calibration")


@dataclass(frozen=True)
class _Part:
    purpose: str
    folder: ImageFolder
    prints: Fingerprints

    def key(self, position: int) -> str:
        return self.prints.items[position].key

    def class_of(self, position: int) -> str:
        return self.folder.classes[self.prints.items[position].label].name

    def side_of(self, position: int) -> Side:
        return self.prints.items[position].side


@dataclass(frozen=True)
class Search:
    """What reading all images, or many of them, has shown.

    Attributes:
        warnings: Of files that are there twice, and of pictures in two parts.
        unusable: Images that cannot be read or decoded.
    """

    warnings: tuple[str, ...]
    unusable: Unusable


def search(parts: Parts, recipe: Recipe, reporter: Reporter) -> Search:
    """Looks for images that are there twice, or cannot be used.

    Args:
        parts: What trains, validates, calibrates.
        recipe: Its seed and its workers are of account.
        reporter: Told how far the search is.
    """
    found: dict[str, tuple[Skipped, ...]] = {}
    warnings = tuple(_about_duplicates(parts, recipe, reporter, found))
    unusable = Unusable(*(found.get(purpose, ()) for purpose in _PURPOSES))
    return Search(warnings, unusable)


def _about_duplicates(
    parts: Parts, recipe: Recipe, reporter: Reporter, unusable: dict[str, tuple[Skipped, ...]]
) -> Iterator[str]:
    folders = zip(_PURPOSES, (parts.train, parts.validation, parts.calibration), strict=True)
    present = {purpose: folder for purpose, folder in folders if folder is not None}
    workers = recipe.data.workers or available_cpus()
    found: list[_Part] = []
    with reporter.task(
        "looking for duplicates",
        sum(min(len(folder.items), MOST_LOOKED_AT) for folder in present.values()),
    ) as task:
        for purpose, folder in present.items():
            chosen, before = _some(folder, recipe.seed), task.done
            prints = take_fingerprints(
                folder,
                tuple(folder.items[position] for position in chosen),
                workers=workers,
                on_progress=partial(_told, task, before),
            )
            found.append(_Part(purpose, folder, prints))
            unusable[purpose] = prints.unusable
            if len(chosen) < len(folder.items):
                yield (
                    f"duplicates were looked for among {len(chosen):,} of {len(folder.items):,} "
                    f"{purpose} images only, drawn by the seed; there may be more of them"
                )
    yield from _same_file(found)
    for at, part in enumerate(found):
        for other in found[at + 1 :]:
            yield from _same_look(part, other)


def _told(task: Task, before: int, done: int) -> None:
    task.update(before + done)


def _some(folder: ImageFolder, seed: int) -> list[int]:
    if len(folder.items) <= MOST_LOOKED_AT:
        return list(range(len(folder.items)))
    order = numpy_generator(seed, Stream.VALIDATION).permutation(len(folder.items))
    return sorted(order[:MOST_LOOKED_AT].tolist())


def _same_file(parts: Sequence[_Part]) -> Iterator[str]:
    """One file more than once: under two class names, on two sides, or in two parts."""
    places: dict[str, list[tuple[_Part, int]]] = defaultdict(list)
    for part in parts:
        for position, digest in enumerate(part.prints.digests):
            places[digest].append((part, position))
    repeated = [where for where in places.values() if len(where) > 1]
    two_classes = [w for w in repeated if len({part.class_of(at) for part, at in w}) > 1]
    if two_classes:
        yield (
            f"{len(two_classes)} file(s) are under two class names, so that one of the two is "
            f"wrong: {named([_places(where) for where in two_classes])}; take one of each away"
        )
    two_sides = [w for w in repeated if len({part.side_of(at) for part, at in w}) > 1]
    if two_sides:
        yield (
            f"{len(two_sides)} file(s) are on both sides, where images are paired with themselves, "
            f"so that figures flatter: {named([_places(where) for where in two_sides])}; take one "
            "of each away"
        )
    two_parts = [w for w in repeated if len({part.purpose for part, _ in w}) > 1]
    if two_parts:
        yield (
            f"{len(two_parts)} file(s) are both among what is trained on and what judges, or what "
            f"calibrates, so that figures flatter: "
            f"{named([_places(where) for where in two_parts])}; take one of each away"
        )


def _same_look(part: _Part, other: _Part) -> Iterator[str]:
    """One picture in two files, in two parts."""
    files = np.unique([*part.prints.digests, *other.prints.digests], return_inverse=True)[1]
    ours, theirs = np.split(files, [len(part.prints.digests)])
    alike_ours, alike_theirs = np.zeros(len(ours), np.bool_), np.zeros(len(theirs), np.bool_)
    examples: list[str] = []
    found = 0
    for block in near_pairs(part.prints, other.prints):
        pairs = block[ours[block[:, 0]] != theirs[block[:, 1]]]
        alike_ours[pairs[:, 0]] = True
        alike_theirs[pairs[:, 1]] = True
        found += len(pairs)
        more = pairs[: NAMED - len(examples)].tolist()
        examples += [f"{part.key(a)} and {other.key(b)}" for a, b in more]
    if not found:
        return
    yield (
        f"{alike_ours.sum()} {part.purpose} image(s) look the same as {alike_theirs.sum()} "
        f"{other.purpose} image(s), but "
        f"for encoding or size, so that figures flatter: {named(examples, found)}; keep "
        "such images in one class, or take one of each away"
    )


def _places(where: Sequence[tuple[_Part, int]]) -> str:
    return " = ".join(f"{part.key(at)} ({part.purpose})" for part, at in where[:NAMED])
