"""The figures and the calibration of a trained network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from model_store.calibration import Calibration
from model_store.manifest import Evaluation
from model_store.network import SiameseNetwork
from model_store.typicality import Typicality
from training.calibration import (
    Calibrated,
    calibrate,
    chance_warnings,
    fit_typicality,
)
from training.calibration.typical import ENOUGH_CLASSES, ENOUGH_IMAGES
from training.crossing import Crossed
from training.data.folders import ImageFolder
from training.data.parts import Parts, together
from training.data.sample import first_of_sides
from training.data.sources import Skipped
from training.data.split import deal_classes
from training.evaluation.embedding import EmbeddedFolder, Sides, embed_sides
from training.evaluation.figures import Figures
from training.evaluation.pairs import ScoredPairs, score_folder
from training.evaluation.protocols.one_shot import can_play, one_shot
from training.evaluation.protocols.verification import verification_figures
from training.progress import Reporter
from training.recipe import Recipe

JUDGED_IMPOSTORS = 200_000
"""Of more impostor pairs a sample judges."""

_CLASSES_OF_A_HALF = 6
"""With fewer, a calibration by one half of the classes would say nothing of one by all of them."""

_VALIDATION = "validation classes"
_CALIBRATION = "calibration classes"
_CROSSED = "all classes, each pair scored by what was fitted to others"
_CROSSED_SIDES = (
    "all classes, each pair of a left and a right image scored by what was fitted to others"
)


@dataclass(frozen=True)
class Validation:
    """What a network is judged by: the validation classes, or all of them, crossed.

    Attributes:
        left: The images that stand left in pairs.
        right: The images that stand right.
        scored: The pairs.
        tested: Some of them or all, and a calibration that has not seen their classes.
    """

    left: ImageFolder
    right: ImageFolder
    scored: ScoredPairs
    tested: tuple[ScoredPairs, Calibration] | None = None


@dataclass(frozen=True)
class Outcome:
    """What is known of a trained network.

    Attributes:
        calibration: None where no classes were kept for it.
        typicality: None likewise, and where they have too few images.
        evaluations: On the validation classes; where they are crossed, on all.
        skipped: Images that could not be decoded on the way.
        warnings: What users of the calibration should know.
        validation: What the evaluations were made of; None where there are none.
    """

    calibration: Calibration | None
    typicality: Typicality | None
    evaluations: tuple[Evaluation, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    validation: Validation | None = None


def judge(
    network: SiameseNetwork,
    parts: Parts,
    recipe: Recipe,
    *,
    kept: str,
    cross: Callable[[SiameseNetwork], Crossed] | None = None,
    device: torch.device,
    reporter: Reporter,
) -> Outcome:
    """Calibrates a network, and evaluates it on classes kept from its training.

    All classes kept from training calibrate what ships, as the more of them do the better it is.
    The figures are taken with a calibration that has not seen the classes that they are of.

    Args:
        network: As it will be stored.
        parts: Its data.
        recipe: Its recipe.
        kept: What to call the classes kept from training (`Split.kept_told`).
        cross: Scores the pairs of all classes, where those judge (`Split.crossed`).
        device: Where to compute.
        reporter: Told how far it is.
    """
    held = together(parts.validation, parts.calibration)
    sides = None
    if held is not None:
        sides = embed_sides(network, held, "judging", device=device, reporter=reporter)
    skipped = [] if sides is None else [*sides.skipped]
    typicality = None
    if cross is not None:
        crossing = cross(network)
        embedded = crossing.embedded
        skipped.extend(entry for entry in embedded.skipped if entry not in skipped)
        judged = _by_crossing(crossing, recipe)
        typicality = fit_typicality(
            embedded,
            turns=crossing.turns,
            data=_told(Sides(embedded, None), _crossed(embedded.folder)),
            data_digest=embedded.folder.digest(),
            seed=recipe.seed,
        )
    else:
        judged = _by_classes_kept(network, parts, sides, recipe, kept)
        if sides is not None and judged.calibration is not None:
            typicality = fit_typicality(
                sides.left,
                sides.right,
                one_kind=network.shares_weights,
                trained_on=_trained_on(network, sides, parts, recipe.seed, device, reporter),
                data=_told(sides, kept),
                data_digest=sides.left.folder.digest(),
                seed=recipe.seed,
            )
    evaluations = [] if judged.evaluation is None else [judged.evaluation]
    if sides is not None and parts.validation is not None:
        of = _of(sides, parts.validation)
        if can_play(of.left, of.right):
            trials = one_shot(of.left, network, candidates=of.right, seed=recipe.seed)
            evaluations.append(_evaluation("one-shot", trials, of, _VALIDATION))
    return Outcome(
        judged.calibration,
        typicality,
        tuple(evaluations),
        tuple(skipped),
        judged.warnings,
        judged.validation,
    )


@dataclass(frozen=True)
class _Judged:
    """What pairs say of a network.

    Attributes:
        calibration: By all pairs that may calibrate; None where none may.
        evaluation: Their verification figures; None where none judge.
        validation: The pairs that those are of.
        warnings: What users should know.
    """

    calibration: Calibration | None = None
    evaluation: Evaluation | None = None
    validation: Validation | None = None
    warnings: tuple[str, ...] = ()


def _by_classes_kept(
    network: SiameseNetwork,
    parts: Parts,
    sides: Sides | None,
    recipe: Recipe,
    kept: str,
) -> _Judged:
    """By the classes that were kept from training, for validation and for calibration."""
    if sides is None:
        return _Judged()

    def scored(of: Sides) -> ScoredPairs:
        return score_folder(
            network, of.left, of.right, seed=recipe.seed, max_impostors=JUDGED_IMPOSTORS
        )

    found, others = None, None
    if parts.calibration is not None:
        found = _calibrated(scored(sides), recipe, sides, kept)
    if parts.validation is None:
        return _Judged() if found is None else _Judged(found.calibration, warnings=found.warnings)
    if parts.calibration is not None:
        aside = _of(sides, parts.calibration)
        others = _calibrated(scored(aside), recipe, aside, _CALIBRATION)
    judging = _of(sides, parts.validation)
    pairs = scored(judging)
    calibration = None if others is None else others.calibration
    figures = verification_figures(pairs, calibration=calibration, seed=recipe.seed)
    by = "" if calibration is None else calibration.data
    warnings = chance_warnings(figures.auc, figures.auc_interval)
    return _Judged(
        None if found is None else found.calibration,
        _evaluation("verification", figures, judging, _VALIDATION, by),
        Validation(
            judging.left.folder,
            (judging.right or judging.left).folder,
            pairs,
            None if calibration is None else (pairs, calibration),
        ),
        warnings if found is None else (*warnings, *found.warnings),
    )


def _by_crossing(crossing: Crossed, recipe: Recipe) -> _Judged:
    """By pairs of all classes, each scored by what was fitted to others."""
    sides = Sides(crossing.embedded, None)
    folder, pairs = crossing.embedded.folder, crossing.scored
    which = _crossed(folder)
    found = _calibrated(pairs, recipe, sides, which)
    figures = verification_figures(pairs, seed=recipe.seed)
    tested, by = None, ""
    names = deal_classes(folder, 2, recipe.seed)
    if min(len(half) for half in names) >= _CLASSES_OF_A_HALF:
        number = {name: label for label, name in enumerate(folder.class_names)}
        fitted, judged = (pairs.within(np.array([number[name] for name in half])) for half in names)
        if all(len(of) for half in (fitted, judged) for of in (half.genuine, half.impostor)):
            tested = (judged, _calibrated(fitted, recipe, sides, which).calibration)
            half = verification_figures(judged, calibration=tested[1], seed=recipe.seed)
            about = ("calibration_error", "calibration_error_interval", "at_threshold")
            figures = figures.model_copy(update={name: getattr(half, name) for name in about})
            by = "half of these classes, and judged on the others"
    return _Judged(
        found.calibration,
        _evaluation("verification", figures, sides, which, by),
        Validation(folder, folder, pairs, tested),
        (*chance_warnings(figures.auc, figures.auc_interval), *found.warnings),
    )


def _crossed(folder: ImageFolder) -> str:
    return _CROSSED_SIDES if folder.two_sided else _CROSSED


def _calibrated(scored: ScoredPairs, recipe: Recipe, sides: Sides, which: str) -> Calibrated:
    return calibrate(
        scored,
        target_far=recipe.calibration.far,
        prior=recipe.calibration.prior,
        data=_told(sides, which),
        data_digest=sides.left.folder.digest(),
        seed=recipe.seed,
    )


def _evaluation(
    protocol: str, figures: Figures, sides: Sides, which: str, by: str = ""
) -> Evaluation:
    return Evaluation(
        protocol=protocol,
        data=_told(sides, which),
        data_digest=sides.left.folder.digest(),
        figures=figures.to_json(),
        calibrated_by=by,
    )


def _told(sides: Sides, which: str) -> str:
    left, right = sides.left.folder, sides.right
    told = f"{left.name}, {which}: {left.described()}"
    # Where only the branches differ, the same images stand on the right.
    if right is None or not right.folder.two_sided:
        return told
    return f"{told}; right: {right.folder.described()}"


def _of(sides: Sides, part: ImageFolder) -> Sides:
    """The classes of a part, of both sides."""
    wanted = frozenset(part.class_names)

    def only(embedded: EmbeddedFolder) -> EmbeddedFolder:
        names = embedded.folder.class_names
        return embedded.subset([label for label, name in enumerate(names) if name in wanted])

    return Sides(only(sides.left), None if sides.right is None else only(sides.right))


def _trained_on(
    network: SiameseNetwork,
    kept: Sides,
    parts: Parts,
    seed: int,
    device: torch.device,
    reporter: Reporter,
) -> list[EmbeddedFolder]:
    """Some training images, a side each, where those kept from it, or their classes, are few."""
    wanted = ENOUGH_IMAGES
    if len(kept.left.folder.classes) >= ENOUGH_CLASSES:
        wanted -= len(kept.left.labels)
        if network.shares_weights and kept.right is not None:
            wanted -= len(kept.right.labels)
    if wanted <= 0:
        return []
    order = np.random.default_rng(seed).permutation(len(parts.train.items))
    folder = parts.train.only(first_of_sides(order, parts.train.on_right, wanted).tolist())
    some = embed_sides(network, folder, "describing", device=device, reporter=reporter)
    return [some.left] if some.right is None else [some.left, some.right]
