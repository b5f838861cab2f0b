"""`fit --dry-run`: everything up to the first steps, told and thrown away."""

from contextlib import closing
from pathlib import Path

import torch

from model_store.cpus import available_cpus
from training.data.folders import ImageFolder
from training.data.parts import open_sources
from training.data.pixels import PixelsAsTheyCome
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.dry_run.footprint import Footprint, activation_bytes, footprint
from training.dry_run.layers import layers
from training.dry_run.picture import batch_png
from training.fit import FitRequest
from training.fit.jobs import new_job
from training.fit.names import check_free
from training.hardware import hardware
from training.initialise import open_origin
from training.learning.freezing import Frozen, enter_training
from training.learning.learner import Learner
from training.learning.optimisation import backbone_parameters
from training.learning.timing import of_one_process, repeated, time_of_a_step
from training.outputs import write_file
from training.progress import Reporter, duration
from training.recipe.tables import recipe_table
from training.run.job import Job
from training.run.planning import Plan, plan_training
from training.tables import table

_FIRST_STEPS = 3
_MIB = 1 << 20


def rehearse(
    request: FitRequest, picture: Path, reporter: Reporter, processes: Processes | None = None
) -> str:
    """Does what `fit` would do, for at most three steps, and keeps nothing of it but a picture.

    Args:
        request: What would be asked of `fit`.
        picture: Where to draw a batch, as PNG.
        reporter: Told of data and recipe what `fit` would say.
        processes: Those that would train together, of which this is the first: it takes its share
            of a step alone.

    Returns:
        What a dry run found, for a person.

    Raises:
        TwinlensError: `fit` would raise it; or the picture cannot be written.
    """
    check_free(request.name, request.store)
    sources = open_sources(request.data, request.holdout, request.right)
    for line in sources.not_used():
        reporter.say(line)
    processes = processes or Processes()
    job = new_job(request, sources, reporter, processes)
    recipe, device = job.recipe, request.device
    pixels = PixelsAsTheyCome(
        job.parts.train, recipe.preprocessing, recipe.data.workers or available_cpus()
    )
    with closing(pixels):
        images = TrainingSet(pixels, turned_classes=recipe.data.turned_classes)
        batches, plan = plan_training(
            images, recipe, device, validates=job.validates, processes=processes
        )
        origin = open_origin(recipe.start, recipe.network, request.store)
        frozen_steps = recipe.freeze.steps(plan.epoch_steps)
        learner = Learner(
            of_one_process(recipe, processes),
            len(images.table),
            device,
            begin=lambda network: reporter.say("\n".join(origin.fill(network).lines())),
            frozen_steps=frozen_steps,
        )
        makings = batches.of(0)
        batch = makings[0]()
        write_file(picture, batch_png(batch), "name another file after --dry-run")
        shapes = layers(learner.network, batch.images[:2])
        enter_training(learner.network, Frozen(frozen_steps > 0, recipe.freeze.statistics))
        activations, seconds = 0, 0.0
        if plan.steps > 0:
            activations = activation_bytes(learner, batch.images)
            seconds = time_of_a_step(learner, repeated(makings, _FIRST_STEPS, device)).seconds
    side_by_side = learner.side_by_side
    memory = footprint(learner, activations * side_by_side, _held(job))
    parameters = sum(parameter.numel() for parameter in learner.network.parameters())
    backbone = sum(parameter.numel() for parameter in backbone_parameters(learner.network))
    frozen = parameters if plan.steps == 0 else backbone if frozen_steps > 0 else 0
    return "\n\n".join(
        [
            recipe_table(recipe, job.record.recipe),
            _data_table(job),
            table(
                f"layers, for one image: {parameters:,} parameters, {parameters - frozen:,} of "
                "which learn from the first step on",
                ("layer", "kind", "shape", "parameters"),
                [
                    (
                        layer.name,
                        layer.kind,
                        " x ".join(map(str, layer.shape)) or "1",
                        f"{layer.parameters:,}" if layer.parameters else "",
                    )
                    for layer in shapes
                ],
            ),
            _memory_table(memory, len(batch.images), side_by_side),
            _length_table(job, plan, seconds, device, processes),
            f"one batch: {picture}\nnothing was kept; leave --dry-run out to train",
        ]
    )


def _held(job: Job) -> int:
    """Bytes of the decoded images of those parts that training holds in memory."""
    height, width, channels = job.recipe.preprocessing.shape
    validation = job.parts.validation
    watched = 0 if validation is None else min(len(validation.items), job.recipe.validation.images)
    return (len(job.parts.train.items) + watched) * height * width * channels


def _data_table(job: Job) -> str:
    parts = {
        "training": job.parts.train,
        "validation": job.parts.validation,
        "calibration": job.parts.calibration,
    }

    def row(purpose: str, folder: ImageFolder | None) -> tuple[str, str, str]:
        if folder is None:
            crossed = purpose == "calibration" and job.split.crossed
            return purpose, "all classes, each left out in turn" if crossed else "none", ""
        names = folder.class_names
        return purpose, folder.described(), ", ".join(names[:3]) + (" …" if len(names) > 3 else "")

    return table(
        f"data: {job.source}",
        ("for", "images and classes", "such as"),
        [row(purpose, folder) for purpose, folder in parts.items()],
    )


def _memory_table(memory: Footprint, images: int, side_by_side: int) -> str:
    at_once = f" x {side_by_side} side by side" if side_by_side > 1 else ""
    rows = [
        ("weights (and their running mean)", memory.weights),
        ("gradients", memory.gradients),
        ("optimiser", memory.optimiser),
        (f"activations of a batch of {images} images{at_once}", memory.activations),
        ("decoded images, if held in memory", memory.images),
        ("in all", memory.total),
    ]
    return table(
        "memory, without what libraries take for themselves",
        ("for", "MiB"),
        [(name, f"{size / _MIB:,.1f}") for name, size in rows],
    )


def _length_table(
    job: Job, plan: Plan, seconds: float, device: torch.device, processes: Processes
) -> str:
    if plan.steps == 0:
        kept = "0: the weights stay as they are at the start"
        return table("length", ("", ""), [("steps", kept)])
    looks = sorted(plan.validations)
    shown = ", ".join(f"{step:,}" for step in looks[:10]) + (" …" if len(looks) > 10 else "")
    rows = [
        ("steps", f"{plan.steps:,} ({plan.steps / plan.epoch_steps:.1f} epochs)"),
        ("validated" if job.validates else "looked at", f"after {shown}" if looks else "never"),
        ("a step", f"{seconds * 1000:,.0f} ms on {hardware(device)}"),
        ("all steps", f"{duration(seconds * plan.steps)}, without reading and judging images"),
    ]
    folds = job.recipe.calibration.folds
    if folds:
        # Each ends where the weights that ship were taken, which is not known before; and the
        # first process goes through them alone.
        shares = folds * processes.count
        again = f"{folds} more trainings, up to {duration(seconds * plan.steps * shares)}"
        together = duration(seconds * plan.steps * (1 + shares))
        rows += [
            ("for calibration", again),
            ("all trainings", f"up to {together}, without reading and judging images"),
        ]
    return table("length", ("", ""), rows)
