"""Fitting what tells images of a model's own kind from others; others are not needed for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store.network import Side
from model_store.typicality import (
    ClassCentres,
    Measures,
    Pixels,
    Residuals,
    SideTypicality,
    Statistics,
    Subspace,
    Typicality,
    TypicalityRecord,
    combine,
    measured,
)
from model_store.typicality.pixels import COUNT, LOGARITHMS
from model_store.vectors import to_unit_length
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.pairs import match_labels
from training.principal import principal_directions

LEVEL = 0.02
"""The share of images of the right kind that may be called out of distribution."""

LEAST_IMAGES = 40
"""Fewer that are measured say too little of where images lie: each fold would describe them by a
handful."""

IMAGES_WANTED = 300
"""Fewer leave it to chance how many images of the right kind are called out of distribution."""

# With more directions the residual tells glyphs and photographs apart from other kinds a little
# better (docs/typicality.md), and the file grows.
_DIRECTIONS = 128
_FOLDS = 5

_NEGLIGIBLE = 1e-6
"""Of the variance along the first component: a network whose weights are stored as float16 leaves
less than this where it computes nothing."""

_MOST_CENTRES = 256
"""Of more classes some are left out: features that say none point to none of many, either."""

_SHRINKAGE = 0.1
_TOLERATED = np.where(np.isin(np.arange(COUNT), LOGARITHMS), 0.5, 0.1)
"""How far the pixels' statistics may always vary: a tenth of the range of values, or by a factor of
1.6. All drawings of one pen are alike, and those of another are no other kind."""

MOST_IMAGES = 20_000
"""Of more a sample is described: it takes memory by the image, and keeps no more of more."""

ENOUGH_IMAGES = 1_024
"""With so many images there are as many directions as are wanted."""

ENOUGH_CLASSES = 20
"""Images of fewer show too little of how classes of the kind differ, however many they are."""

# A reference of more images than this is thinned out evenly.
_REFERENCE = 5_000

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Turn:
    """Some images, measured by a network that their classes had no part in.

    Attributes:
        held: Bool (N,), which images these are.
        features: float32 (N, dimension), what that network makes of all images.
    """

    held: npt.NDArray[np.bool_]
    features: Rows


def fit_typicality(
    left: EmbeddedFolder,
    right: EmbeddedFolder | None = None,
    *,
    one_kind: bool = False,
    trained_on: Sequence[EmbeddedFolder] = (),
    turns: Sequence[Turn] = (),
    data: str = "",
    data_digest: str = "",
    level: float = LEVEL,
    pixels: bool = True,
    seed: int = 0,
) -> Typicality | None:
    """Describes where the features of a model's own kind of images lie.

    Cross-fitted: images are measured by what the other folds' classes describe (the other groups',
    where there are groups enough), since images that the model will see are of classes that are
    not there. What is kept is fitted to all of them; of more than `MOST_IMAGES` of a kind, to so
    many of them, and likewise of those that the network was trained on.

    Args:
        left: Images of classes that the network was not trained on.
        right: Those of the right side, if they are others or the network's sides differ.
        one_kind: Whether one description is of both sides, since one branch embeds either, and
            what it makes of an image does not say on which side that stands.
        trained_on: Of each side, images that the network was trained on: they help to describe
            where its kind lies, and never count as images to measure.
        turns: The folds, where the network itself was fitted to the images of `left`: no image is
            measured in two of them, and those measured in none only describe. With them, all
            images count, since whoever crosses has taken a sample.
        data: What they are, in words.
        data_digest: Over the images.
        level: As `TypicalityRecord`.
        pixels: Whether what pixels look like counts, beside what the network makes of them.
        seed: Of the draw of folds, and of images where they are too many.

    Returns:
        The description; None where fewer than `LEAST_IMAGES` images a side can be measured, since
        there are no more, or they are of one class and nothing else describes the kind.
    """
    folders = [folder for folder in (left, right) if folder is not None]
    kinds = [folders] if one_kind else [[folder] for folder in folders]
    known = [trained_on] if one_kind else [[folder] for folder in trained_on]
    if not turns:
        kinds = [_thinned(kind, seed) for kind in kinds]
    known = [_thinned(kind, seed) for kind in known]
    described = [_material(kind) for kind in kinds]
    if min(_measurable(own, trained_on, turns) for own in described) < LEAST_IMAGES:
        return None
    return Typicality(
        sides={
            side: _fit_side(
                own,
                _material(known[number]) if trained_on else None,
                turns,
                pixels=pixels,
                seed=seed,
            )
            for number, (side, own) in enumerate(zip(Side, described, strict=False))
        },
        level=level,
        images=sum(len(own.labels) for own in described),
        classes=len(np.unique(_labels([folder for kind in kinds for folder in kind]))),
        data=data,
        data_digest=data_digest,
    )


def typicality_warnings(typicality: Typicality | TypicalityRecord | None) -> tuple[str, ...]:
    """What users of a description must know of it, in sentences; empty where all is well."""
    if typicality is None:
        few = (
            f"fewer than {LEAST_IMAGES} images, or images of one class, do not show "
            "where the model's own kind ends, and say nothing of what is in distribution; add "
            "images or classes and calibrate again"
        )
        return (few,)
    if typicality.images < IMAGES_WANTED:
        little = (
            f"{typicality.images} calibration images say little of where the model's own kind "
            f"ends: more of it than {typicality.level:g} may be called out of distribution; "
            f"calibrate on {IMAGES_WANTED} or more"
        )
        return (little,)
    return ()


def _thinned(kind: Sequence[EmbeddedFolder], seed: int) -> list[EmbeddedFolder]:
    """At most `MOST_IMAGES` of a kind, each folder and each class by its share.

    The first class of a folder and the last one always stay, without which two may become one.
    """
    total = sum(len(each.labels) for each in kind)
    if total <= MOST_IMAGES:
        return list(kind)
    generator = np.random.default_rng(seed)
    thinned = []
    for each in kind:
        count = len(each.labels)
        drawn = generator.permutation(count)
        by_class = drawn[np.argsort(each.labels[drawn], kind="stable")]
        most = min(count, max(2, count * MOST_IMAGES // total))
        thinned.append(each.only(by_class[np.linspace(0, count - 1, most).round().astype(int)]))
    return thinned


def _measurable(
    own: "_Material", trained_on: Sequence[EmbeddedFolder], turns: Sequence[Turn]
) -> int:
    """How many images can be measured by what other classes describe."""
    if turns:
        return sum(int(turn.held.sum()) for turn in turns)
    return len(own.labels) if trained_on or len(np.unique(own.labels)) > 1 else 0


def _fit_side(
    own: "_Material",
    trained: "_Material | None",
    turns: Sequence[Turn],
    *,
    pixels: bool,
    seed: int,
) -> SideTypicality:
    every = own
    if trained is not None:
        # A class of the same number is another one.
        known = replace(trained, labels=trained.labels + 1 + own.labels.max())
        every = known.joined(own)
    few = _lie_in_few_directions(every.features)

    def described(material: _Material) -> tuple[Measures, Pixels | None]:
        return _measures(material, few=few), _pixels(material) if pixels else None

    folds = []
    for turn in turns or _folds(own, seed):
        before = len(every.labels) - len(own.labels)
        features = np.concatenate([every.features[:before], turn.features])
        others = np.concatenate([np.ones(before, bool), ~turn.held])
        rest = replace(every, features=features).only(others)
        folds.append(
            measured(*described(rest), turn.features[turn.held], own.statistics[turn.held])
        )
    found = np.concatenate(folds)
    centre = np.median(found, axis=0)
    # Where measures do not vary at all (a network that collapsed), anything else is far out.
    spread = np.maximum(found.std(axis=0), 1e-6 * (1 + np.abs(centre)))
    reference = np.sort(combine(found, centre, spread))
    if len(reference) > _REFERENCE:
        reference = reference[np.linspace(0, len(reference) - 1, _REFERENCE).round().astype(int)]
    measures, looks = described(every)
    return SideTypicality(measures, centre, spread, reference, looks)


def _folds(own: "_Material", seed: int) -> list[Turn]:
    """The folds of images of classes that the network was not trained on.

    Groups are not torn apart where there is one for each fold, and classes never: sides whose
    groups differ, as where one has none, have no group to keep together.
    """
    classes, groups = np.unique(own.labels), np.unique(own.groups)
    nested = np.unique([own.labels, own.groups], axis=1).shape[1] == len(classes)
    units = own.groups if nested and len(groups) >= _FOLDS else own.labels
    names = np.random.default_rng(seed).permutation(np.unique(units))
    return [
        Turn(np.isin(units, names[number::_FOLDS]), own.features)
        for number in range(min(_FOLDS, len(names)))
    ]


@dataclass(frozen=True)
class _Material:
    """What is known of some images: features, pixels' looks, and their classes and groups."""

    features: Rows
    statistics: Statistics
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]

    def only(self, kept: npt.NDArray[np.bool_]) -> "_Material":
        return _Material(
            self.features[kept], self.statistics[kept], self.labels[kept], self.groups[kept]
        )

    def joined(self, other: "_Material") -> "_Material":
        return _Material(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.statistics, other.statistics]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.groups, other.groups]),
        )


def _material(folders: Sequence[EmbeddedFolder]) -> _Material:
    """That of one side, or of both: classes are matched as those of pairs are, groups by name."""
    groups = [each.folder.classes[label].group for each in folders for label in each.labels]
    return _Material(
        np.concatenate([each.features.numpy() for each in folders]),
        np.concatenate([each.statistics for each in folders]),
        _labels(folders),
        np.unique(groups, return_inverse=True)[1],
    )


def _labels(folders: Sequence[EmbeddedFolder]) -> npt.NDArray[np.int64]:
    """The number of each image's class, matched with those of the first folder."""
    left, *others = folders
    return np.concatenate([left.labels, *(match_labels(left, right) for right in others)])


def _lie_in_few_directions(features: Rows) -> bool:
    """Whether the network gives nothing outside of them, so that no residual can be left.

    In as few as there are images less one, any features lie.
    """
    count, dimension = features.shape
    squares, _ = principal_directions(features - features.mean(axis=0, dtype=np.float64))
    rank = int((squares > _NEGLIGIBLE * squares[-1]).sum()) if len(squares) else 0
    return bool(0 < rank <= min(_DIRECTIONS, dimension // 2, int(0.9 * (count - 1))))


def _measures(material: _Material, *, few: bool) -> Measures:
    """What shows that features are of another kind, fitted to those of the kind.

    Args:
        material: Images of the kind.
        few: Whether features lie in few directions.
    """
    unit = to_unit_length(material.features)
    if not few:
        return Residuals(_subspace(material.features), _subspace(unit))
    labels = material.labels
    names = np.unique(labels)
    if len(names) > _MOST_CENTRES:
        names = names[np.linspace(0, len(names) - 1, _MOST_CENTRES).round().astype(int)]
    means = np.stack([unit[labels == name].mean(axis=0, dtype=np.float64) for name in names])
    return ClassCentres(to_unit_length(means).astype(np.float32))


def _pixels(material: _Material) -> Pixels:
    """Mean and covariance of the pixels' statistics, the latter shrunk towards no correlation."""
    statistics = material.statistics.astype(np.float64)
    mean = statistics.mean(axis=0)
    spread = np.sqrt(statistics.var(axis=0) + _TOLERATED**2)
    scaled = (statistics - mean) / spread
    correlation = (1 - _SHRINKAGE) * scaled.T @ scaled / len(scaled)
    correlation[np.diag_indices(len(mean))] += _SHRINKAGE
    whitening = np.linalg.cholesky(np.linalg.inv(correlation)).T / spread
    return Pixels(mean.astype(np.float32), whitening.astype(np.float32))


def _subspace(rows: Rows) -> Subspace:
    """The principal components, as many as there are images and values to tell them by."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    count, dimension = rows.shape
    kept = min(_DIRECTIONS, dimension // 2, count // 8)
    _, found = principal_directions(centred)
    directions = found[max(0, len(found) - kept) :]
    return Subspace(mean.astype(np.float32), directions.astype(np.float32))
