"""What a run is settled to be about."""

import io

import pytest
import torch

from model_store import ModelStore
from model_store.shipped import SHIPPED
from tests.training import small
from tests.training.drawings import draw_folder, write_recipe
from training.automatic import USUAL
from training.data.parts import make_split, open_sources
from training.distributed import Processes
from training.errors import DataError, RecipeError, TrainingError
from training.fit import FitRequest
from training.fit.jobs import continued_job, new_job
from training.progress import Reporter
from training.recipe.files import load_recipe
from training.run.folder import Run


@pytest.mark.parametrize(
    ("overrides", "images", "crossed"),
    [
        # Nothing is trained on so few images, so that all calibrate.
        (["split={validation: 0.4, calibration: 0.3}"], 3, True),
        ([" split.validation = 0.4"], 3, True),
        (["seed = 3", "max_steps=2"], 3, False),
        (["max_steps=0"], 30, True),
        (["split.validation=0.1", "split.calibration=0.1"], 35, False),
        (["split.validation=0.1", "calibration.folds=2"], 35, True),
        # 18 classes would be enough to train on, and 14 are not.
        (["split.validation=0.1", "split.calibration=0.2"], 30, False),
        (["start.backbone=mine.pth"], 3, False),
    ],
)
def test_classes_held_out_take_no_part_in_the_choice(
    tmp_path, monkeypatch, overrides, images, crossed
):
    looked_at = []

    def choose(folder, **_):
        looked_at.extend(entry.name for entry in folder.classes)
        raise TrainingError("enough seen")

    monkeypatch.setattr("training.fit.jobs.choose", choose)
    sources = open_sources(draw_folder(tmp_path / "d", classes=20, images=images), None, None)
    store, cpu = ModelStore(tmp_path / "store"), torch.device("cpu")
    request = FitRequest(tmp_path / "d", "m", store, cpu, overrides=overrides)
    with pytest.raises(TrainingError, match="enough seen"):
        new_job(request, sources, Reporter(io.StringIO()))
    split = load_recipe(USUAL, [each for each in overrides if "start" not in each])
    wanted = make_split(sources, split.split, split.seed, crossed=crossed).train
    assert looked_at == list(wanted)


@pytest.mark.parametrize(
    ("classes", "overrides", "refused"),
    [
        # Of two that would train, one: the other two would validate.
        (4, [], "not one image can be decoded of 1 of the 2 classes to train on"),
        # Two are left out at a time, and none would be left to fit to.
        (3, ["split.validation=0"], "has 2 class.*, and calibrating needs at least 3"),
    ],
)
def test_classes_that_cannot_be_decoded_are_refused_where_too_few_others_train(
    tmp_path, classes, overrides, refused
):
    data = draw_folder(tmp_path / "d", classes=classes, images=3)
    overrides = ["max_steps=0", "start.projection=whitening", *overrides]
    overrides += ["data.turned_classes=false"]
    name = str(write_recipe(tmp_path / "r.yaml"))
    recipe = load_recipe(name, overrides)
    sources = open_sources(data, None, None)
    split = make_split(sources, recipe.split, recipe.seed, crossed=True)
    for path in (data / split.train[0]).iterdir():
        path.write_bytes(b"no image")
    store, cpu = ModelStore(tmp_path / "store"), torch.device("cpu")
    request = FitRequest(data, "m", store, cpu, recipe=name, overrides=overrides)
    with pytest.raises(DataError, match=refused):
        new_job(request, open_sources(data, None, None), Reporter(io.StringIO()))


def test_what_began_where_nothing_is_trained_goes_on_though_folds_are_asked_for(tmp_path):
    """All classes calibrate without them, so that the recipe has none from its beginning."""
    data = draw_folder(tmp_path / "d", classes=8, images=4)
    recipe = str(write_recipe(tmp_path / "r.yaml"))
    sources = open_sources(data, None, None)
    store, cpu = ModelStore(tmp_path / "store"), torch.device("cpu")

    def asked(*further: str) -> FitRequest:
        overrides = ["max_steps=0", "data.turned_classes=false", *further]
        return FitRequest(data, "m", store, cpu, recipe=recipe, overrides=overrides)

    job = new_job(asked("calibration.folds=2"), sources, Reporter(io.StringIO()))
    assert (job.split.crossed, job.recipe.calibration.folds) == (True, 0)
    run = Run(store.root, "m")
    with run.locked():
        run.begin(job.recipe, job.split, job.record)
        for again in ((), ("calibration.folds=2",)):
            assert continued_job(asked(*again), run, sources).recipe == job.recipe
        # Of networks that are trained they are no small matter.
        with pytest.raises(RecipeError, match="differs"):
            continued_job(asked("calibration.folds=2", "max_steps=1"), run, sources)


def test_a_start_that_has_seen_classes_which_judge_is_warned_of_and_recorded(tmp_path):
    data = draw_folder(tmp_path / "d", classes=12, images=4)
    recipe = str(write_recipe(tmp_path / "r.yaml"))
    store = ModelStore(tmp_path / "store")
    sources = open_sources(data, None, None)
    shares = load_recipe(recipe).split
    other, own = (make_split(sources, shares, seed) for seed in (0, 1))
    known = {*own.validation, *own.calibration} & {*other.train}
    store.save("mine", small.network(), files={"split.json": other.to_json()})
    overrides = ["start.model=mine", "seed=1"]
    said = io.StringIO()
    request = FitRequest(data, "m", store, torch.device("cpu"), recipe=recipe, overrides=overrides)
    job = new_job(request, sources, Reporter(said))
    warning = f"{len(known)} of the 6 classes that judge and calibrate have names that the model"
    assert known
    assert f"warning: {warning}" in said.getvalue()
    assert any(each.startswith(warning) for each in job.record.warnings)
    assert job.split.start_learnt == other.train
    assert not job.split.all_new


def test_a_model_that_ships_is_warned_of_where_it_was_trained_on_classes_of_these_names(tmp_path):
    """Nothing is trained, so that all would calibrate as classes that no network was trained on."""
    drawn = draw_folder(tmp_path / "drawn", classes=12, images=4)
    named = [f"{group}/character{n:02}" for group in ("Greek", "Latin") for n in range(1, 7)]
    for place, name in zip(sorted(drawn.iterdir()), named, strict=True):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        place.rename(tmp_path / "d" / name)
    name = str(write_recipe(tmp_path / "r.yaml"))
    store, cpu = ModelStore(tmp_path / "store"), torch.device("cpu")
    overrides = ["max_steps=0", f"start.model={SHIPPED / 'glyphs' / '1'}"]
    overrides += ["data.turned_classes=false"]
    request = FitRequest(tmp_path / "d", "m", store, cpu, recipe=name, overrides=overrides)
    job = new_job(request, open_sources(tmp_path / "d", None), Reporter(io.StringIO()))
    assert not job.split.crossed
    assert not job.split.all_new
    judging = len({*job.split.validation, *job.split.calibration})
    (warning,) = [each for each in job.record.warnings if "the model it starts from" in each]
    assert warning.startswith(f"{judging} of the {judging} classes that judge and calibrate have")
    assert warning.endswith("the figures flatter it"), "no seed sets aside what it does not know"


@pytest.mark.parametrize(("minutes", "most"), [(20.0, 0.5), (0.4, 0.4), (None, 0.5)])
def test_of_two_limits_of_time_the_shorter_one_holds(tmp_path, monkeypatch, minutes, most):
    # How many steps it fits is measured, and so what this machine makes of it.
    monkeypatch.setattr("training.fit.jobs.steps_within", lambda *_: 10_000)
    data = draw_folder(tmp_path / "d", classes=12, images=4)
    request = FitRequest(
        data,
        "m",
        ModelStore(tmp_path / "store"),
        torch.device("cpu"),
        recipe=str(write_recipe(tmp_path / "r.yaml")),
        overrides=["max_minutes=0.5"],
        minutes=minutes,
    )
    job = new_job(request, open_sources(data, None, None), Reporter(io.StringIO()))
    # Of `minutes`, what the settling took is gone already.
    assert job.recipe.max_minutes <= most
    assert minutes == 0.4 or job.recipe.max_minutes == 0.5


@pytest.mark.parametrize(("folds", "seconds"), [(0, 600_000), (2, 120_000)])
def test_trainings_for_calibration_are_of_one_process(tmp_path, monkeypatch, folds, seconds):
    """Two processes train; of that time each fold takes twice as much."""
    given = []

    def fitting(seconds, recipe, parts, device, processes):
        given.append((seconds, processes.count))
        return 10_000

    monkeypatch.setattr("training.fit.jobs.steps_within", fitting)
    data = draw_folder(tmp_path / "d", classes=12, images=4)
    request = FitRequest(
        data,
        "m",
        ModelStore(tmp_path / "store"),
        torch.device("cpu"),
        recipe=str(write_recipe(tmp_path / "r.yaml")),
        overrides=[f"calibration.folds={folds}"],
        minutes=10_000.0,
    )
    sources = open_sources(data, None, None)
    new_job(request, sources, Reporter(io.StringIO()), Processes(0, 2))
    assert given == [(pytest.approx(seconds, rel=0.01), 2)]  # The settling took some already.
