"""Rounding, judging and saving what a run has trained."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

import torch

from model_store.manifest import Provenance
from model_store.network import SiameseNetwork
from model_store.reader import Reference
from model_store.store import ModelStore
from training.calibration import typicality_warnings
from training.crossing import Crossed, cross_pairs
from training.data.sources import Skipped
from training.data.split import SPLIT_FILE
from training.hardware import hardware
from training.history import History, to_csv
from training.judging import JUDGED_IMPOSTORS, Outcome, judge
from training.pictures.album import small_album
from training.pictures.curves import CURVES, curves_png
from training.progress import Reporter
from training.publishing.card import CARD_FILE, Facts, write_card
from training.publishing.skipped import SKIPPED_FILE, skipped_csv, told
from training.publishing.warned import WARNINGS_FILE, Warned
from training.recipe.files import to_yaml
from training.run.folder import HISTORY_FILE, RECIPE_FILE, START_FILE
from training.run.job import Job, Trained
from training.storing import as_stored, stored_as

_CHOSEN_BY_THEM = (
    "the starting network was chosen by classes that are among those that judge and calibrate it, "
    "so that the figures flatter a little; name a recipe with --recipe for figures that do not"
)

_LIBRARIES = ("torch", "numpy", "pillow", "twinlens")


def publish(
    name: str,
    trained: Trained,
    job: Job,
    *,
    store: ModelStore,
    device: torch.device,
    reporter: Reporter,
    cross: Callable[[SiameseNetwork], Crossed] | None = None,
) -> Reference:
    """Rounds, judges and saves a trained network.

    Args:
        name: The model's name.
        trained: What training left; its network stays as it is.
        job: What it was about.
        store: Where it goes.
        device: Where to compute the figures.
        reporter: Told how far it is, and what was not used.
        cross: As `judge` takes it, where it is not by a projection in closed form.

    Raises:
        TwinlensError: The figures cannot be had, or the store cannot be written.
    """
    recipe, standing = job.recipe, trained.standing
    network, kept_step = copy.deepcopy(trained.network), standing.kept_step
    if standing.best is not None:
        network.load_state_dict(dict(standing.best.weights))
    dtype, note = stored_as(network, recipe.weights)
    network = as_stored(network, recipe.weights)
    notes = () if note is None else (note,)
    if job.record.tried and job.split.crossed:
        notes = (*notes, _CHOSEN_BY_THEM)
    if job.split.crossed and cross is None:
        cross = partial(
            cross_pairs,
            folder=job.parts.learnt,
            recipe=recipe,
            max_impostors=JUDGED_IMPOSTORS,
            device=device,
            reporter=reporter,
        )
    outcome = judge(
        network,
        job.parts,
        recipe,
        kept=job.split.kept_told,
        cross=cross,
        device=device,
        reporter=reporter,
    )
    calibrated = outcome.calibration is not None
    warned = Warned(
        training=(*job.record.warnings, *trained.notes, *notes),
        calibration=outcome.warnings,
        typicality=typicality_warnings(outcome.typicality) if calibrated else (),
    )
    facts = Facts(
        name=name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        dtype=dtype,
        record=job.record,
        recipe=recipe,
        split=job.split,
        parts=job.parts,
        source=job.source,
        standing=standing,
        hardware=hardware(device),
        outcome=outcome,
        kept_step=kept_step,
        warned=warned,
    )
    files = {
        CARD_FILE: write_card(facts),
        **_pictures(name, standing.history, outcome, kept_step),
        RECIPE_FILE: to_yaml(recipe),
        SPLIT_FILE: job.split.to_json(),
        HISTORY_FILE: to_csv(standing.history),
        WARNINGS_FILE: warned.to_json(),
    }
    if trained.start is not None:
        files[START_FILE] = trained.start
    skipped = tuple(dict.fromkeys((*job.parts.skipped, *trained.skipped, *outcome.skipped)))
    if skipped:
        files[SKIPPED_FILE] = skipped_csv(skipped)
    reference = store.save(
        name,
        network,
        description=recipe.description,
        calibration=outcome.calibration,
        typicality=outcome.typicality,
        evaluations=outcome.evaluations,
        provenance=Provenance(
            command=job.record.command,
            recipe=recipe.model_dump(mode="json"),
            seed=recipe.seed,
            data=f"{job.source}: {job.parts.train.described()}",
            data_digest=job.split.train_digest,
            libraries={library: version(library) for library in _LIBRARIES},
        ),
        files=files,
        dtype=dtype,
    )
    _report(reporter, skipped, (*notes, *warned.calibration, *warned.typicality))
    return reference


def _pictures(name: str, history: History, outcome: Outcome, kept_step: int) -> dict[str, bytes]:
    """The training as curves; of the validation classes ROC, scores and worst pairs."""
    pictures = {}
    if history:
        kept = kept_step if kept_step != history[-1].step else None
        pictures[CURVES] = curves_png(history, name, kept_step=kept)
    if outcome.validation is not None:
        pictures |= small_album(
            outcome.validation.scored,
            outcome.validation.left,
            outcome.validation.right,
            f"{name} on {outcome.evaluations[0].data}",
            calibration=outcome.calibration,
            tested=outcome.validation.tested,
        )
    return pictures


def _report(reporter: Reporter, skipped: Sequence[Skipped], warnings: Sequence[str]) -> None:
    for line in told(skipped):
        reporter.say(line)
    for warning in warnings:
        reporter.say(f"note: {warning}")
