"""Fitting: from a folder of images to a checkpoint in the store."""

from dataclasses import replace
from functools import partial

from model_store.errors import TwinlensError
from model_store.reader import Reference
from training.data.parts import open_sources
from training.distributed import Processes
from training.errors import EarlierRunKept, TrainingError
from training.fit.along import Settled
from training.fit.jobs import continued_job, new_job
from training.fit.names import at_step, check_free
from training.fit.request import FitRequest
from training.memory import LESS_AT_ONCE, shortage_told
from training.progress import Reporter
from training.publishing.once import publish_once
from training.publishing.publish import publish
from training.recipe.tables import short_table
from training.retraining import cross_by_retraining
from training.run.folder import Run
from training.run.job import Job, Trained
from training.run.session import Session

_LESS = f"{LESS_AT_ONCE}; an unfinished run then begins anew with --restart"


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
        EarlierRunKept: It was interrupted while the run that it was to discard is still there.
    """
    # Not when it is published, for that is hours later.
    check_free(request.name, request.store)
    run = Run(request.store.root, request.name)
    with run.locked():
        earlier = run.begun or run.resumable
        try:
            with shortage_told(_LESS):
                _check_unfinished(request, run)
                together = processes or Processes()
                job = _job(request, run, reporter, together)
                return _fit(job, request, run, reporter, together)
        except (TwinlensError, KeyboardInterrupt) as error:
            earlier = earlier and not run.cleared
            if not (earlier or run.resumable):
                run.remove()
            if earlier and request.restart and isinstance(error, KeyboardInterrupt):
                raise EarlierRunKept from error
            raise


def _job(request: FitRequest, run: Run, reporter: Reporter, processes: Processes) -> Job:
    """What is to be trained; all that is to be known of it is said."""
    sources = open_sources(request.data, request.holdout, request.right)
    for line in sources.not_used():
        reporter.say(line)
    job = (
        continued_job(request, run, sources)
        if request.resume
        else new_job(request, sources, reporter, processes)
    )
    if job.record.reason:
        reporter.say(f"recipe '{job.record.recipe}', because {job.record.reason}")
    if job.split.seen:
        reporter.say(
            f"note: {len(job.split.seen)} classes that validate or calibrate are trained on too, "
            "so the figures will be for classes the model knows"
        )
    reporter.say(short_table(job.recipe, job.record.recipe, validates=job.validates))
    return job


def _fit(
    job: Job, request: FitRequest, run: Run, reporter: Reporter, processes: Processes
) -> Reference | None:
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
            anew=not request.resume,
        ).train()
    if trained is None:
        return None
    reference = _published(trained, job, run, request, reporter)
    run.remove()
    return reference


def _published(
    trained: Trained, job: Job, run: Run, request: FitRequest, reporter: Reporter
) -> Reference:
    """Puts what the recipe keeps into the store: where that is both, the last before the best.

    Earlier weights of every validation get names of their own: as versions they would be served,
    each until the next one is judged, in place of the model that was. They come after the model's
    own, because the first model of a store becomes its default.
    """
    standing = trained.standing
    cross = None
    if job.recipe.calibration.folds:
        # Of which one version is kept, and judged once.
        cross = cross_by_retraining(
            job,
            standing,
            run,
            store=request.store,
            device=request.device,
            save_every=request.save_every,
            reporter=reporter,
        )

    def put(name: str, trained: Trained) -> Reference:
        published = partial(
            publish,
            name,
            trained,
            job,
            store=request.store,
            device=request.device,
            reporter=reporter,
            cross=cross,
        )
        step = trained.standing.kept_step
        return publish_once(name, step, published, run=run, store=request.store, reporter=reporter)

    best, both = standing.best, job.recipe.validation.keep == "both"
    if both and best is not None and best.step < standing.step:
        last = put(request.name, replace(trained, standing=replace(standing, best=None)))
        reporter.say(f"the last weights are version {last.version}; the best become the next")
        # The version that is told of at the end is not the one that became the default.
        if told := request.store.told_default(last):
            reporter.say(f"'{last.name}': {told}")
    reference = put(request.name, trained)
    if job.recipe.validation.keep == "every":
        for kept in run.kept():
            if kept.step < standing.step:
                name = at_step(request.name, kept.step)
                put(name, replace(trained, standing=replace(standing, best=kept)))
                reporter.say(f"the weights of step {kept.step:,} are the model '{name}'")
    return reference


def _check_unfinished(request: FitRequest, run: Run) -> None:
    if request.resume and not run.begun:
        raise TrainingError(
            f"no unfinished run of '{request.name}' is in {run.path.parent}; leave out --resume"
        )
    if run.resumable and not (request.resume or request.restart):
        raise TrainingError(
            f"a run of '{request.name}' is unfinished ({run.path}); go on with --resume, or throw "
            "it away with --restart"
        )
