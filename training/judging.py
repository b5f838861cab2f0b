"""The figures and the calibration of a trained network."""

from dataclasses import dataclass

import numpy as np
import torch

from model_store.calibration import Calibration
from model_store.checkpoint import STORED_TYPES
from model_store.manifest import Evaluation
from model_store.network import SiameseNetwork, Side
from model_store.typicality import Typicality
from training.calibration import (
    calibrate,
    chance_warnings,
    fit_typicality,
    typicality_warnings,
)
from training.calibration.typical import ENOUGH_CLASSES, ENOUGH_IMAGES
from training.data.folders import ImageFolder
from training.data.parts import Parts
from training.data.sources import Skipped
from training.evaluation.embedding import EmbeddedFolder, embed_folder
from training.evaluation.figures import VerificationFigures
from training.evaluation.pairs import ScoredPairs, score_folder
from training.evaluation.protocols.one_shot import can_play, one_shot
from training.evaluation.protocols.verification import verification_figures
from training.progress import Reporter
from training.recipe import Recipe

_MAX_IMPOSTORS = 200_000


@dataclass(frozen=True)
class Validation:
    """The validation classes, embedded and scored.

    Attributes:
        left: The images that stand left in pairs.
        right: The images that stand right.
        scored: The pairs.
    """

    left: ImageFolder
    right: ImageFolder
    scored: ScoredPairs


@dataclass(frozen=True)
class Outcome:
    """What is known of a trained network.

    Attributes:
        calibration: None where no classes were kept for it.
        typicality: None likewise, and where they have too few images.
        evaluations: On the validation classes.
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


def as_stored(network: SiameseNetwork, dtype: str) -> SiameseNetwork:
    """Rounds a network's weights to what will be read back, so that figures are of what ships."""
    rounded = {
        name: tensor.to(STORED_TYPES[dtype]).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(rounded)
    return network.eval()


def judge(
    network: SiameseNetwork,
    parts: Parts,
    recipe: Recipe,
    *,
    device: torch.device,
    reporter: Reporter,
) -> Outcome:
    """Calibrates a network, and evaluates it on classes that it has never seen.

    Args:
        network: As it will be stored.
        parts: Its data.
        recipe: Its recipe.
        device: Where to compute.
        reporter: Told how far it is.
    """
    skipped: list[Skipped] = []
    warnings: tuple[str, ...] = ()
    calibration, typicality = None, None
    if parts.calibration is not None:
        sides = _embedded(network, parts.calibration, device, reporter, "calibrating", skipped)
        data = f"{sides[0].folder.name}, calibration classes: {sides[0].folder.described()}"
        digest = sides[0].folder.digest()
        found = calibrate(
            score_folder(network, *sides, seed=recipe.seed, max_impostors=_MAX_IMPOSTORS),
            target_far=recipe.calibration.far,
            prior=recipe.calibration.prior,
            data=data,
            data_digest=digest,
            seed=recipe.seed,
        )
        typicality = fit_typicality(
            sides[0],
            None if network.shares_weights else sides[1],
            trained_on=_trained_on(network, parts, recipe.seed, device, reporter),
            data=data,
            data_digest=digest,
            seed=recipe.seed,
        )
        calibration = found.calibration
        warnings = (*found.warnings, *typicality_warnings(typicality))
    evaluations: tuple[Evaluation, ...] = ()
    validation = None
    if parts.validation is not None:
        left, right = _embedded(network, parts.validation, device, reporter, "evaluating", skipped)
        scored = score_folder(network, left, right, seed=recipe.seed, max_impostors=_MAX_IMPOSTORS)
        validation = Validation(left.folder, (right or left).folder, scored)
        evaluations, figures = _evaluated(network, (left, right), scored, calibration, recipe.seed)
        warnings = (*chance_warnings(figures.auc, figures.auc_interval), *warnings)
    return Outcome(calibration, typicality, evaluations, tuple(skipped), warnings, validation)


def _trained_on(
    network: SiameseNetwork, parts: Parts, seed: int, device: torch.device, reporter: Reporter
) -> list[EmbeddedFolder]:
    """Some training images, a side each, where those that calibrate, or their classes, are few."""
    if parts.calibration is None:
        return []
    wanted = ENOUGH_IMAGES
    if len(parts.calibration.classes) >= ENOUGH_CLASSES:
        wanted -= len(parts.calibration.items)
    if wanted <= 0:
        return []
    items = parts.train.items
    order = np.random.default_rng(seed).permutation(len(items))
    folder = parts.train.without({items[index].key for index in order[wanted:]})
    left, right = _embedded(network, folder, device, reporter, "describing", [])
    return [left] if right is None or network.shares_weights else [left, right]


def _embedded(
    network: SiameseNetwork,
    folder: ImageFolder,
    device: torch.device,
    reporter: Reporter,
    title: str,
    skipped: list[Skipped],
) -> tuple[EmbeddedFolder, EmbeddedFolder | None]:
    """Both sides, the right one only where it differs."""
    differ = folder.two_sided or not network.shares_weights
    embedded: list[EmbeddedFolder] = []
    for side in [Side.LEFT, Side.RIGHT] if differ else [Side.LEFT]:
        # What could not be decoded for one side need not be tried for the other.
        part = folder.on(side) if folder.two_sided or not embedded else embedded[0].folder
        with reporter.task(title, len(part.items)) as task:
            embedded.append(
                embed_folder(
                    network,
                    part,
                    device=device,
                    side=side,
                    on_progress=lambda done, _, task=task: task.update(done),  # type: ignore[misc]
                )
            )
        skipped.extend(embedded[-1].skipped)
    return embedded[0], embedded[1] if len(embedded) > 1 else None


def _evaluated(
    network: SiameseNetwork,
    sides: tuple[EmbeddedFolder, EmbeddedFolder | None],
    scored: ScoredPairs,
    calibration: Calibration | None,
    seed: int,
) -> tuple[tuple[Evaluation, ...], VerificationFigures]:
    left, right = sides
    digest = left.folder.digest()
    data = f"{left.folder.name}, validation classes: {left.folder.described()}"
    figures = verification_figures(scored, calibration=calibration, seed=seed)
    found = [
        Evaluation(
            protocol="verification", data=data, data_digest=digest, figures=figures.to_json()
        )
    ]
    if can_play(left, right):
        trials = one_shot(left, network, candidates=right, seed=seed)
        found.append(
            Evaluation(protocol="one-shot", data=data, data_digest=digest, figures=trials.to_json())
        )
    return tuple(found), figures
