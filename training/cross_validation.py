"""Cross-validation by class: every class is once among those a network has not been trained on."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from model_store.store import ModelStore
from training.data.folders import ImageFolder
from training.data.parts import Sources, make_parts
from training.data.sources import Skipped
from training.data.split import Split, classes_named, deal_classes
from training.errors import DataError, Derailed
from training.evaluation.pairs import pool_within
from training.judging import judge
from training.learning.faster import settled_precision
from training.naming import named
from training.progress import Reporter
from training.recipe import Recipe
from training.run.folder import Run, RunRecord
from training.run.job import Job
from training.run.session import Session
from training.storing import as_stored


@dataclass(frozen=True)
class Fold:
    """What one fold gave.

    Attributes:
        number: Counted from 1.
        classes: The classes that were left out of its training, and judged it.
        figures: Of the verification protocol.
    """

    number: int
    classes: tuple[str, ...]
    figures: Mapping[str, JsonValue]


def deal_folds(folder: ImageFolder, folds: int, seed: int) -> list[list[str]]:
    """The classes of each fold, all of which can judge.

    Args:
        folder: All the data, without images that cannot be decoded.
        folds: How many, ≥ 2.
        seed: Another seed deals otherwise.

    Raises:
        DataError: A fold would have fewer than two classes, or no pair of one class.
    """
    parts = deal_classes(folder, folds, seed)
    if min(len(part) for part in parts) < 2:
        raise DataError(
            f"{folder.source}: {len(folder.classes)} classes in {folds} folds leave a fold with "
            "fewer than 2, and pairs need 2; ask for fewer folds"
        )
    for number, part in enumerate(parts, 1):
        if not pool_within(classes_named(folder, part)).genuine_total:
            needed = "an image on both sides" if folder.two_sided else "two images"
            raise DataError(
                f"{folder.source}: of the {len(part)} classes of fold {number} of {folds} "
                f"({named(part)}) not one has {needed}, so that they cannot judge; ask for fewer "
                "folds, deal otherwise (--set seed=…), or add images to classes"
            )
    return parts


def cross_validate(
    folder: ImageFolder,
    recipe: Recipe,
    name: str,
    *,
    folds: int,
    start: int,
    store: ModelStore,
    device: torch.device,
    reporter: Reporter,
) -> Iterator[Fold]:
    """Trains and judges one network a fold; nothing is put into the store.

    Args:
        folder: All the data, its classes to be dealt into folds. Whoever opened it has said what
            it skipped; images that turn out not to be usable are said here.
        recipe: How to train. Its shares of validation and calibration are of no account, and the
            last weights count: no fold chooses by the classes it is judged by.
        name: The recipe's.
        folds: How many, ≥ 2.
        start: Folds that are done already.
        store: Where a model that the recipe starts from is looked for.
        device: Where to compute.
        reporter: Told how far it is.

    Yields:
        Fold by fold.

    Raises:
        DataError: As `deal_folds`.
        RecipeError: The recipe and the data do not go together.
        Derailed: Training has gone wrong; the folds before have been given.
        KeyboardInterrupt: It was interrupted, likewise.
    """
    recipe = recipe.model_copy(
        update={"validation": recipe.validation.model_copy(update={"times": 0, "keep": "last"})}
    )
    parts = deal_folds(folder, folds, recipe.seed)
    recipe = settled_precision(recipe, device, reporter.say)
    told = set(folder.skipped)
    for number, part in enumerate(parts[start:], start + 1):
        reporter.say(f"fold {number} of {folds}: {len(part)} classes left out")
        left_out = set(part)
        rest = [name for name in folder.class_names if name not in left_out]
        split = Split(
            seed=recipe.seed,
            unit="class",
            train=tuple(rest),
            validation=tuple(part),
            calibration=(),
            train_digest=folder.digest(),
        )
        sources = Sources(folder, None, folder.name)
        job = Job(
            recipe,
            split,
            RunRecord(command="", recipe=name),
            make_parts(sources, split),
            folder.name,
        )
        figures, skipped = _judged(job, f"fold{number}", store, device, reporter)
        for entry in skipped:
            if entry not in told:
                reporter.say(f"not used: {entry.shown}: {entry.reason}")
                told.add(entry)
        yield Fold(number, tuple(part), figures)


def _judged(
    job: Job, name: str, store: ModelStore, device: torch.device, reporter: Reporter
) -> tuple[Mapping[str, JsonValue], tuple[Skipped, ...]]:
    """The figures of one fold, and the images that could not be used for them."""
    weights = job.recipe.weights
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), name)
        with run.locked():
            session = Session(
                job, run, store=store, device=device, save_every=float("inf"), reporter=reporter
            )
            try:
                trained = session.train()
                network = None if trained is None else as_stored(trained.network, weights)
            except Derailed as error:
                # The run is gone with its folder, and the command has no options for one.
                told = error.without_a_run
                raise Derailed(told, "", without_a_run=told) from error
    if trained is None or network is None:
        raise KeyboardInterrupt
    outcome = judge(
        network,
        job.parts,
        job.recipe,
        kept=job.split.kept_told,
        device=device,
        reporter=reporter,
    )
    found = next(e for e in outcome.evaluations if e.protocol == "verification")
    figures: dict[str, JsonValue] = found.model_dump(mode="json")["figures"]
    return figures, (*trained.skipped, *outcome.skipped)


@dataclass(frozen=True)
class Averaged:
    """A figure over folds.

    Attributes:
        mean: Over the folds.
        deviation: Standard deviation between folds (n − 1); 0 for one fold.
        least: The smallest.
        most: The largest.
    """

    mean: float
    deviation: float
    least: float
    most: float


def averaged(folds: list[Fold]) -> dict[str, Averaged]:
    """Every figure that is one number, and each entry of `frr_at_far`, over the folds.

    Args:
        folds: At least one.
    """
    names = ("auc", "eer", "accuracy")
    rows: dict[str, list[float]] = {name: [] for name in names}
    for fold in folds:
        for name in names:
            rows[name].append(_number(fold.figures[name]))
        rates = fold.figures["frr_at_far"]
        if isinstance(rates, dict):
            for far, rate in rates.items():
                rows.setdefault(f"frr_at_far {far}", []).append(_number(rate))
    return {
        name: Averaged(
            float(np.mean(values)),
            float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            min(values),
            max(values),
        )
        for name, values in rows.items()
    }


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def from_json(entry: Mapping[str, JsonValue]) -> Fold:
    """A fold as `to_json` wrote it. Raises KeyError, TypeError or ValueError if it is not one."""
    number, classes, figures = entry["number"], entry["classes"], entry["figures"]
    if not (isinstance(number, int) and isinstance(classes, list) and isinstance(figures, dict)):
        raise TypeError("not a fold")
    return Fold(number, tuple(str(name) for name in classes), figures)


def to_json(fold: Fold) -> dict[str, JsonValue]:
    """As plain JSON values."""
    return {
        "number": fold.number,
        "classes": list(fold.classes),
        "figures": dict(fold.figures),
    }
