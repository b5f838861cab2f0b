"""Trainings over again, each without a part of all classes, for calibration by all of them.

A trained network is calibrated by classes that were kept from it, of which there are few: eight of
thirty. With `calibration.folds: K` none is kept for that alone. All classes are dealt into K parts
and K more networks are trained, each without one part, whose pairs it scores (cross-validation, as
`training.crossing` does it for projections). That takes up to K times as long, and the networks
know fewer classes than the one that ships, so that what it promises errs on the side of caution.

Each goes through the schedule of the network that ships, and ends where the weights that ship were
taken from it: after all steps, or after those of the best validation. Scores change with every
step, so that a threshold is right for networks of the same step alone.

Each of these trainings is a run of its own below the run's folder, and is gone on with as one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from model_store.network import SiameseNetwork
from model_store.store import ModelStore
from training.crossing import Crossed, crossed, starts_unseen
from training.data.folders import ImageFolder
from training.data.parts import Parts
from training.data.sample import sampled_folder
from training.data.split import Split, deal_classes
from training.errors import RecipeError
from training.evaluation.embedding import embed_told
from training.evaluation.metrics import Indices
from training.initialise import MOST_IMAGES
from training.judging import JUDGED_IMPOSTORS
from training.progress import Reporter
from training.recipe import Recipe
from training.run.folder import Run, RunRecord
from training.run.job import Job
from training.run.planning import planned_steps
from training.run.session import Session
from training.run.state import Standing
from training.storing import as_stored

_LEAST_CLASSES = 2


def check_folds(parts: Parts, recipe: Recipe, store: ModelStore, *, held_out: bool) -> None:
    """Refuses `calibration.folds` where it cannot be had, before anything is trained.

    Args:
        parts: What trains, validates, calibrates.
        recipe: How.
        store: Where a model to start from is looked for.
        held_out: Whether the classes that calibrate are of other data than those that train.

    Raises:
        RecipeError: It cannot; the message says why.
        StoreError: The model to start from is not there.
    """
    if not recipe.calibration.folds:
        return
    folds = f"calibration.folds={recipe.calibration.folds}"
    if held_out:
        raise RecipeError(
            f"{folds} is for classes that are not set aside; leave it out where there is a "
            "--holdout, or a val/ beside train/"
        )
    if len(recipe.network.branches) != 1 or recipe.validation.keep not in ("last", "best"):
        raise RecipeError(
            f"{folds} is for a network of one branch, of which one version is kept: set "
            "validation.keep to last or best"
        )
    whole = parts.learnt
    if recipe.max_steps == 0 or not starts_unseen(recipe, store, whole.class_names):
        raise RecipeError(
            f"{folds} is for networks that are trained, from weights that cannot have seen these "
            "images: none, those of ImageNet or dlib, or a model that Twinlens ships and that was "
            "trained on no classes of these names"
        )
    names = deal_classes(whole, recipe.calibration.folds, recipe.seed)
    if min(len(part) for part in names) < _LEAST_CLASSES:
        raise RecipeError(
            f"{folds} leaves a part of the {len(whole.classes)} classes with fewer than "
            f"{_LEAST_CLASSES}; ask for fewer, or for none with calibration.folds=0"
        )
    for part in names:
        planned_steps(_without(whole, part), recipe)


def cross_by_retraining(
    job: Job,
    standing: Standing,
    run: Run,
    *,
    store: ModelStore,
    device: torch.device,
    save_every: float,
    reporter: Reporter,
) -> Callable[[SiameseNetwork], Crossed]:
    """What scores pairs of all classes by networks trained without them.

    Args:
        job: What the network that ships was about.
        standing: Where that ended.
        run: Its run, below whose folder the others have theirs.
        store: Where a model to start from is looked for.
        device: Where to compute.
        save_every: Seconds between two savings of their state.
        reporter: Told how far it is.

    Returns:
        Given that network, the pairs.

    Raises (when called):
        KeyboardInterrupt: A training was interrupted; its state is saved.
        TwinlensError: It cannot be trained.
    """
    recipe = job.recipe
    whole = job.parts.learnt
    names = deal_classes(whole, recipe.calibration.folds, recipe.seed)
    course = _Course.of(job)
    until = standing.kept_step

    def trained_without(number: int) -> SiameseNetwork:
        reporter.say(
            f"training {number + 1} of {len(names)} for calibration: without "
            f"{len(names[number]):,} of {len(whole.classes):,} classes, up to step {until:,}, "
            "whose weights ship"
        )
        rest = _without(whole, names[number])
        fold = Job(
            course.without(rest, recipe),
            Split(
                seed=recipe.seed,
                unit=job.split.unit,
                train=rest.class_names,
                validation=(),
                calibration=(),
                train_digest=job.split.train_digest,
            ),
            RunRecord(command=job.record.command, recipe=job.record.recipe),
            Parts(rest, None, None),
            job.source,
        )
        run_of_fold = run.below("folds", f"fold{number + 1}")
        with run_of_fold.locked():
            trained = Session(
                fold,
                run_of_fold,
                store=store,
                device=device,
                save_every=save_every,
                reporter=reporter,
                until=until,
            ).train()
        if trained is None:
            raise KeyboardInterrupt
        return as_stored(trained.network, recipe.weights)

    def cross(network: SiameseNetwork) -> Crossed:
        some = sampled_folder(whole, MOST_IMAGES, seed=recipe.seed)
        embedded = embed_told(network, some, "calibrating", device=device, reporter=reporter)
        label = {name: number for number, name in enumerate(embedded.folder.class_names)}
        sets = [
            np.array(sorted(label[name] for name in part if name in label), dtype=np.int64)
            for part in names
        ]

        part_of = {label: number for number, part in enumerate(sets) for label in part.tolist()}

        def without(classes: Indices) -> tuple[SiameseNetwork, torch.Tensor]:
            other = trained_without(part_of[int(classes[0])])
            found = embed_told(
                other, embedded.folder, "calibrating", device=device, reporter=reporter
            )
            return other, found.features

        return crossed(embedded, sets, without, max_impostors=JUDGED_IMPOSTORS, seed=recipe.seed)

    return cross


@dataclass(frozen=True)
class _Course:
    """What the steps of the network that ships went through, for others to go through it too.

    Counted in steps: with other classes an epoch has another number of them.

    Attributes:
        steps: Of the whole schedule, wherever it was broken off.
        frozen: The first steps, in which the backbone stays as it is; endless for all.
    """

    steps: int
    frozen: float

    @staticmethod
    def of(job: Job) -> "_Course":
        """That of a run."""
        steps, epoch_steps = planned_steps(job.parts.train, job.recipe)
        return _Course(steps, job.recipe.freeze.steps(epoch_steps))

    def without(self, rest: ImageFolder, recipe: Recipe) -> Recipe:
        """The recipe of a training on the rest of the classes: the same steps, nobody validates."""
        freeze = recipe.freeze
        if 0 < self.frozen < math.inf:
            _, epoch_steps = planned_steps(rest, recipe)
            # Half a step before the next whole one, where rounding cannot freeze another.
            epochs = (math.ceil(self.frozen) - 0.5) / epoch_steps
            freeze = freeze.model_copy(update={"backbone_epochs": epochs})
        validation = recipe.validation.model_copy(
            update={"times": 0, "keep": "last", "first": False, "patience": None}
        )
        length = {"max_steps": self.steps, "epochs": None, "max_minutes": None}
        return recipe.model_copy(update={**length, "freeze": freeze, "validation": validation})


def _without(folder: ImageFolder, names: list[str]) -> ImageFolder:
    left_out = set(names)
    return folder.subset(
        label for label, name in enumerate(folder.class_names) if name not in left_out
    )
