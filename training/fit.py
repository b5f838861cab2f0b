"""Fitting: from a folder of images to a checkpoint in the store."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from model_store.errors import TwinlensError
from model_store.store import ModelStore, Reference
from training.along import Settled, train_along
from training.automatic import USUAL, Chosen, choose
from training.automatic.budget import steps_within
from training.data.parts import (
    Parts,
    Sources,
    check_same_data,
    make_parts,
    make_split,
    open_sources,
)
from training.distributed import Processes
from training.errors import RecipeError, TrainingError
from training.inspection import inspect, planned_steps
from training.progress import Reporter
from training.publishing.publish import publish
from training.recipe import Recipe
from training.recipe.files import check_overrides, load_recipe
from training.recipe.tables import short_table
from training.run.folder import RECIPE_FILE, Run, RunRecord
from training.run.job import Job, Trained
from training.run.session import Session

MINUTES = 20.0
"""What `fit` may take where nobody chose a recipe."""


@dataclass(frozen=True)
class FitRequest:
    """What a user asks for.

    Attributes:
        data: Folder or zip to train on.
        name: The model's name.
        store: Where it goes.
        device: Where to compute.
        recipe: A name or file; None to choose by the data.
        overrides: `key=value` each.
        holdout: Folder or zip that validates and calibrates.
        right: Folder or zip of the right side's images, for networks whose sides differ.
        resume: Whether to go on with an unfinished run.
        restart: Whether to throw an unfinished run away.
        save_every: Seconds between two savings of the state.
        command: The command, for the record.
        tensorboard: Folder for TensorBoard's scalars, if they are wanted.
        minutes: What it may take at most; None for as long as the recipe says, or for `MINUTES`
            where there is no recipe.
    """

    data: Path
    name: str
    store: ModelStore
    device: torch.device
    recipe: str | None = None
    overrides: Sequence[str] = ()
    holdout: Path | None = None
    right: Path | None = None
    resume: bool = False
    restart: bool = False
    save_every: float = 60.0
    command: str = ""
    tensorboard: Path | None = None
    minutes: float | None = None


def fit(
    request: FitRequest, reporter: Reporter, processes: Processes | None = None
) -> Reference | None:
    """Trains a model, or goes on training it, and puts it into the store.

    Args:
        request: What is wanted.
        reporter: Told how far it is.
        processes: Those that train together, of which this is the first; the others call
            `fit_along`.

    Returns:
        The new version; None if training was interrupted, and can be resumed.

    Raises:
        TwinlensError: Data, recipe or run do not allow it; the message says what to do.
    """
    run = Run(request.store.root, request.name)
    with run.locked():
        try:
            return _fit(request, run, reporter, processes or Processes())
        except TwinlensError:
            if not run.resumable:
                run.remove()
            raise


def fit_along(request: FitRequest, processes: Processes) -> bool:
    """What every process but the first does of `fit`.

    Returns:
        Whether training came to its end; False if it was interrupted.

    Raises:
        TwinlensError: As `fit`; or another process ended.
    """
    sources = open_sources(request.data, request.holdout, request.right)
    return train_along(
        request.name, sources, store=request.store, device=request.device, processes=processes
    )


def _fit(
    request: FitRequest, run: Run, reporter: Reporter, processes: Processes
) -> Reference | None:
    _check_unfinished(request, run)
    sources = open_sources(request.data, request.holdout, request.right)
    if sources.left_out:
        reporter.say(f"not used: {', '.join(sources.left_out)}")
    _say_other_files(sources, reporter)
    job = (
        _continued(request, run, sources) if request.resume else new_job(request, sources, reporter)
    )
    if job.record.reason:
        reporter.say(f"recipe '{job.record.recipe}', because {job.record.reason}")
    if job.split.seen:
        reporter.say(
            f"note: {len(job.split.seen)} classes that validate or calibrate are trained on too, "
            "so the figures will be for classes the model knows"
        )
    reporter.say(short_table(job.recipe, job.record.recipe))
    with processes.joined(request.device):
        processes.from_first(Settled.of(job).to_bytes())
        trained = Session(
            job,
            run,
            store=request.store,
            device=request.device,
            save_every=request.save_every,
            reporter=reporter,
            tensorboard=request.tensorboard,
            processes=processes,
        ).train()
    if trained is None:
        return None
    reference = _published(trained, job, request, reporter)
    run.remove()
    return reference


def _published(trained: Trained, job: Job, request: FitRequest, reporter: Reporter) -> Reference:
    """Puts what the recipe keeps into the store: where that is both, the last before the best."""
    put = partial(
        publish,
        request.name,
        job=job,
        store=request.store,
        device=request.device,
        reporter=reporter,
    )
    standing = trained.standing
    best, both = standing.best, job.recipe.validation.keep == "both"
    if both and best is not None and best.step < standing.step:
        last = put(replace(trained, standing=replace(standing, best=None)))
        reporter.say(f"the last weights are version {last.version}; the best become the next")
    return put(trained)


def _say_other_files(sources: Sources, reporter: Reporter) -> None:
    folders = [folder for folder in (sources.train, sources.holdout) if folder is not None]
    others = sum(folder.other_files for folder in folders)
    if others:
        reporter.say(f"not used: {others:,} file(s) whose names do not end as images' names do")


def _check_unfinished(request: FitRequest, run: Run) -> None:
    if request.resume and not run.begun:
        raise TrainingError(
            f"no unfinished run of '{request.name}' is in {run.path.parent}; leave out --resume"
        )
    if request.resume:
        return
    if run.resumable and not request.restart:
        raise TrainingError(
            f"a run of '{request.name}' is unfinished ({run.path}); go on with --resume, or throw "
            "it away with --restart"
        )
    run.clear()


def new_job(request: FitRequest, sources: Sources, reporter: Reporter) -> Job:
    """What a run that begins is about; warnings about it are said.

    Raises:
        TwinlensError: Data and recipe do not allow it.
    """
    began = time.monotonic()
    name, overrides = request.recipe, tuple(request.overrides)
    chosen = None
    if name is None:
        check_overrides(USUAL, overrides)
        chosen = _chosen(request, sources, reporter)
        name, overrides = chosen.recipe, (*chosen.overrides, *overrides)
    recipe = load_recipe(name, overrides)
    split = make_split(sources, recipe.split, recipe.seed)
    parts = make_parts(sources, split)
    minutes = request.minutes
    if minutes is None and chosen is not None:
        minutes = MINUTES
    if minutes is not None:
        seconds = 60 * minutes - (time.monotonic() - began)
        recipe = _within(seconds, recipe, parts, request.device, reporter)
    warnings = inspect(parts, recipe, reporter)
    for warning in warnings:
        reporter.say(f"warning: {warning}")
    record = RunRecord(
        command=request.command,
        recipe=Path(name).stem,
        reason="" if chosen is None else chosen.reason,
        tried="" if chosen is None else chosen.tried,
        warnings=warnings,
    )
    return Job(recipe, split, record, parts, sources.name)


def _chosen(request: FitRequest, sources: Sources, reporter: Reporter) -> Chosen:
    """Chooses by the classes that will train: those held out take no part in it."""
    about_split = [
        override for override in request.overrides if override.startswith(("split.", "seed="))
    ]
    usual = load_recipe(USUAL, about_split)
    parts = make_parts(sources, make_split(sources, usual.split, usual.seed))
    chosen = choose(parts.train, device=request.device, seed=usual.seed, reporter=reporter)
    if chosen.tried:
        reporter.say(chosen.tried)
    return chosen


def _within(
    seconds: float, recipe: Recipe, parts: Parts, device: torch.device, reporter: Reporter
) -> Recipe:
    """The recipe, cut to what fits into a time."""
    if recipe.max_steps == 0:
        return recipe
    steps = steps_within(seconds, recipe, parts, device)
    planned, _ = planned_steps(parts.train, recipe)
    # For a machine that gets busier than it was while its first steps were timed.
    timed = recipe.model_copy(update={"max_minutes": max(seconds, 1.0) / 60})
    if steps >= planned:
        return timed
    reporter.say(
        f"{steps:,} of {planned:,} steps fit into the time that is left; give more with --minutes"
    )
    return timed.model_copy(update={"max_steps": steps})


def _continued(request: FitRequest, run: Run, sources: Sources) -> Job:
    recipe, split, record = run.recipe(), run.split(), run.record()
    if request.recipe or request.overrides:
        wanted = load_recipe(request.recipe or str(run.path / RECIPE_FILE), request.overrides)
        if wanted.model_copy(update={"guard": recipe.guard}) != recipe:
            raise RecipeError(
                f"'{request.name}' goes on with the recipe it began with, which differs from what "
                "--recipe, --set and --seed say; leave them out (but for --set guard.…), or begin "
                "anew with --restart"
            )
        recipe = wanted
    check_same_data(sources, split)
    return Job(recipe, split, record, make_parts(sources, split), sources.name)
