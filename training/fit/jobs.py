"""What a run is to be about: settled by the data, the recipe and the time, or taken up again."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from model_store.store import ModelStore
from training.automatic import USUAL, Chosen, choose, too_few_to_train_on
from training.automatic.budget import steps_within
from training.crossing import can_cross, check_crossing
from training.data.parts import Parts, Sources, check_same_data, make_parts, make_split
from training.data.split import told_of_start
from training.distributed import Processes
from training.errors import RecipeError
from training.fit.inspection import check_pairs, inspect
from training.fit.names import check_kept_names
from training.fit.request import MINUTES, FitRequest
from training.initialise import check_whitening, is_shipped, start_learnt, told_by_recipe
from training.learning.faster import settled_precision
from training.progress import Reporter
from training.recipe import Recipe
from training.recipe.files import check_overrides, load_recipe
from training.retraining import check_folds
from training.run.folder import RECIPE_FILE, Run, RunRecord
from training.run.job import Job
from training.run.planning import planned_steps

_OF_LENGTH = ("split", "seed", "max_steps")
"""The parts of a recipe that say which classes train, and whether any do."""


def new_job(
    request: FitRequest, sources: Sources, reporter: Reporter, processes: Processes | None = None
) -> Job:
    """What a run that begins is about; warnings about it are said.

    Args:
        request: What is wanted.
        sources: The data.
        reporter: Told how far it is.
        processes: Those that will train together, of which this is the first.

    Raises:
        TwinlensError: Data and recipe do not allow it.
    """
    began = time.monotonic()
    name = request.recipe
    chosen = None
    if name is None:
        check_overrides(USUAL, request.overrides)
        chosen = _chosen(request, sources, reporter)
        name = chosen.recipe
    recipe = load_recipe(name, request.overrides, chosen=() if chosen is None else chosen.overrides)
    check_kept_names(request.name, recipe, request.store)
    check_whitening(recipe)
    crossed = _crosses(recipe, request.store, sources)
    if crossed:
        recipe = _without_folds(recipe)
    closed, crossed = crossed, crossed or recipe.calibration.folds > 0
    split = make_split(sources, recipe.split, recipe.seed, crossed=crossed)
    learnt = start_learnt(recipe.start, request.store)
    split = split.model_copy(update={"start_learnt": learnt, "untrained": recipe.fits_nothing})
    if closed and split.crossed:
        check_crossing(sources.train, recipe)
    parts = make_parts(sources, split)
    recipe = settled_precision(recipe, request.device, reporter.say)
    minutes = request.minutes
    if minutes is None and chosen is not None:
        minutes = MINUTES
    if minutes is not None:
        seconds = 60 * minutes - (time.monotonic() - began)
        recipe = _within(seconds, recipe, parts, request.device, reporter, processes or Processes())
    held_out = sources.holdout is not None
    inspection = inspect(parts, recipe, reporter, crossed=split.crossed, held_out=held_out)
    known = told_of_start({*split.validation, *split.calibration}, split.start_learnt)
    warnings = inspection.warnings
    if known:
        own = recipe.start.model is not None and not is_shipped(recipe.start.model, request.store)
        advice = "; the seed and the shares that it was trained with keep the same classes aside"
        warnings = (*warnings, known + (advice if own and split.start_learnt else ""))
    for warning in warnings:
        reporter.say(f"warning: {warning}")
    parts = parts.without(inspection.unusable)
    if closed and split.crossed:
        check_crossing(parts.learnt, recipe)
    check_folds(parts, recipe, request.store, held_out=held_out)
    check_pairs(parts, recipe, crossed=split.crossed, held_out=held_out)
    record = RunRecord(
        command=request.command,
        recipe=Path(name).stem,
        reason="" if chosen is None else chosen.reason,
        tried="" if chosen is None else chosen.tried,
        warnings=warnings,
        unusable=inspection.unusable,
        minutes=minutes,
    )
    return Job(recipe, split, record, parts, sources.name)


def continued_job(request: FitRequest, run: Run, sources: Sources) -> Job:
    """What a run that goes on is about.

    Raises:
        TwinlensError: Data or recipe are not those it began with, or its files are damaged.
    """
    recipe, record = run.recipe(), run.record()
    split = told_by_recipe(run.split(), recipe.model_dump(mode="json"))
    if request.minutes not in (None, record.minutes):
        began = "no such limit" if record.minutes is None else f"--minutes {record.minutes:g}"
        raise RecipeError(
            f"'{request.name}' goes on with the time it began with, {began}; leave --minutes out, "
            "or begin anew with --restart"
        )
    if request.recipe or request.overrides:
        wanted = load_recipe(request.recipe or str(run.path / RECIPE_FILE), request.overrides)
        if wanted.precision == "auto":
            wanted = wanted.model_copy(update={"precision": recipe.precision})
        if wanted.calibration.folds and _crosses(wanted, request.store, sources):
            wanted = _without_folds(wanted)
        if record.minutes is not None:
            cut = {"max_steps": recipe.max_steps, "max_minutes": recipe.max_minutes}
            wanted = wanted.model_copy(update=cut)
        if wanted.model_copy(update={"guard": recipe.guard}) != recipe:
            raise RecipeError(
                f"'{request.name}' goes on with the recipe it began with, which differs from what "
                "--recipe, --set and --seed say; leave them out (but for --set guard.…), or begin "
                "anew with --restart"
            )
        recipe = wanted
    check_kept_names(request.name, recipe, request.store)
    check_same_data(sources, split)
    parts = make_parts(sources, split).without(record.unusable)
    return Job(recipe, split, record, parts, sources.name)


def _crosses(recipe: Recipe, store: ModelStore, sources: Sources) -> bool:
    """Whether all classes calibrate without another training."""
    return recipe.split.calibration > 0 and can_cross(recipe, store, sources.class_names)


def _without_folds(recipe: Recipe) -> Recipe:
    """The recipe as a run begins with it where `_crosses` holds."""
    calibration = recipe.calibration.model_copy(update={"folds": 0})
    return recipe.model_copy(update={"calibration": calibration})


def _chosen(request: FitRequest, sources: Sources, reporter: Reporter) -> Chosen:
    """Chooses by the classes that will train: those held out take no part in it.

    What would end the run later does so before minutes go into the choice.
    """
    usual = _usual(request.overrides)
    check_kept_names(request.name, usual, request.store)
    # What is chosen for few images, unless it is said how many steps to take.
    closed = usual.model_copy(update={"max_steps": 0}) if usual.max_steps is None else usual
    can_be_crossed = _crosses(closed, request.store, sources)

    def divided(*, crossed: bool) -> Parts:
        return make_parts(sources, make_split(sources, usual.split, usual.seed, crossed=crossed))

    def kept(parts: Parts) -> bool:
        """Whether no step would be taken on them, so that none is kept to calibrate."""
        untrained = usual.max_steps == 0 or too_few_to_train_on(parts.train) != ""
        return can_be_crossed and untrained

    held_out = sources.holdout is not None
    crossed = not held_out
    parts = divided(crossed=crossed)
    untrained = kept(parts)
    if not (untrained or usual.calibration.folds):
        parts = divided(crossed=False)
        # Enough with the classes that would calibrate, but not without them.
        untrained = kept(parts)
    crossed = crossed and (untrained or usual.calibration.folds > 0)
    check_pairs(parts, closed if untrained else usual, crossed=crossed, held_out=held_out)
    chosen = choose(
        parts.train,
        names=sources.class_names,
        device=request.device,
        seed=usual.seed,
        reporter=reporter,
        length_given=usual.max_steps is not None,
    )
    if chosen.tried:
        reporter.say(chosen.tried)
    return chosen


def _usual(overrides: Sequence[str]) -> Recipe:
    """The recipe that is most like the one that will be chosen, as far as that is known.

    All overrides together may be for that one alone; then it is what they say of the split.
    """
    try:
        return load_recipe(USUAL, overrides)
    except RecipeError:
        return load_recipe(USUAL, [each for each in overrides if _section(each) in _OF_LENGTH])


def _section(override: str) -> str:
    return override.partition("=")[0].partition(".")[0].strip()


def _within(
    seconds: float,
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    reporter: Reporter,
    processes: Processes,
) -> Recipe:
    """The recipe, cut to what fits into a time."""
    if recipe.max_steps == 0:
        return recipe
    # The trainings for calibration are the first process's alone.
    seconds /= 1 + recipe.calibration.folds * processes.count
    steps = steps_within(seconds, recipe, parts, device, processes)
    planned, _ = planned_steps(parts.train, recipe)
    # For a machine that gets busier than it was while its first steps were timed.
    most = max(seconds, 1.0) / 60
    if recipe.max_minutes is not None:
        most = min(most, recipe.max_minutes)
    timed = recipe.model_copy(update={"max_minutes": most})
    if steps >= planned:
        return timed
    reporter.say(
        f"{steps:,} of {planned:,} steps fit into the time that is left; give more with --minutes"
    )
    return timed.model_copy(update={"max_steps": steps})
