"""Ending early, and keeping the best weights, the last, both, or every one validated."""

import csv
import os
import shutil
import signal
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from model_store import ModelStore
from tests.training.drawings import fit_words, fitting_place, with_recipe
from training.cli import main
from training.fit import jobs
from training.history import Row, validations_since_best
from training.learning.learner import Learner
from training.publishing import publish
from training.run.loop import Loop
from training.run.planning import Plan
from training.run.state import Kept, Standing

pytestmark = pytest.mark.usefixtures("undrawn")

# Validated every third step, at a rate so low that one validation is like the next.
IDLE = ("optimiser.learning_rate=1e-12", "validation.times=8", "mean_decay=null")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("stopping"), classes=8, images=4)


@pytest.fixture
def fit(place, tmp_path):
    def run(*values: str) -> ModelStore:
        sets = ("max_steps=24", "batches_per_step=1", "data.turned_classes=false", *values)
        words = fit_words(place, tmp_path / "store")
        assert main([*words, *with_recipe(place, *sets)]) == 0
        return ModelStore(tmp_path / "store")

    return run


def row(step: int, eer: float | None = None) -> Row:
    return Row(step, 1.0, 1.0, 0.1, 0.5, 10.0, eer=eer)


def standing(*eers: float | None) -> Standing:
    return Standing(step=len(eers), history=tuple(row(n + 1, eer) for n, eer in enumerate(eers)))


@pytest.mark.parametrize(
    ("eers", "since"),
    [
        ((), 0),
        ((None,), 0),
        ((0.4,), 0),
        ((0.4, None, 0.3), 0),
        ((0.3, 0.3), 1),
        ((0.3, None, 0.4, 0.35, None), 2),
        ((0.3, 0.4, 0.2), 0),
    ],
)
def test_validations_since_the_best(eers, since):
    assert validations_since_best(standing(*eers).history) == since


def test_a_plan_ends_by_steps_or_by_patience():
    plan = Plan(3, 1.0, frozenset(), keep_best=False, save_every=60, patience=2)
    assert not plan.ended(standing(0.3, 0.4))
    assert plan.ended(standing(0.2, 0.3, 0.4))
    assert plan.ended(standing(0.3, 0.4, 0.1))
    long = Plan(9, 1.0, frozenset(), keep_best=False, save_every=60, patience=2)
    assert not long.ended(standing(0.3, 0.4, 0.1))
    assert long.ended(standing(0.3, 0.4, 0.3))
    assert not Plan(9, 1.0, frozenset(), keep_best=False, save_every=60).ended(standing(0, 1, 1, 1))


def test_patience_counts_from_weights_before_the_first_step_that_were_the_best():
    plan = Plan(9, 1.0, frozenset(), keep_best=True, save_every=60, patience=2, first=True)
    worse = standing(0.3, 0.2)
    assert not plan.ended(worse)
    assert plan.ended(replace(worse, best=Kept(0, 0.1, {})))
    assert not plan.ended(replace(standing(0.3), best=Kept(0, 0.1, {})))
    assert not plan.ended(replace(worse, best=Kept(2, 0.2, {})))


def test_patience_ends_a_run_that_gets_no_better(fit, capsys):
    path = fit(*IDLE, "validation.patience=2").find("m").path
    assert "has not fallen for 2 validations" in capsys.readouterr().err
    with (path / "history.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == list(range(1, 10))
    assert "9 steps" in (path / "card.md").read_text()


def test_a_run_ends_when_its_time_is_over(fit, capsys):
    path = fit("validation.times=8", "max_minutes=0.0001").find("m").path
    assert "the time for training is over (0 s)" in capsys.readouterr().err
    with (path / "history.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[-1] == 3, "the first validation of eight in 24 steps"


def test_of_two_limits_the_one_that_ended_it_is_said(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jobs, "steps_within", lambda *_: 24)
    sets = ("max_steps=24", "max_minutes=0.0001")
    words = [*fit_words(place, tmp_path / "store"), *with_recipe(place, *sets)]
    assert main([*words, "--minutes", "1"]) == 0
    assert "the time for training is over (0 s)" in capsys.readouterr().err


def test_it_ends_by_time_where_nobody_looks_at_it(fit, capsys):
    path = fit("validation.times=0", "guard.action=ignore", "max_minutes=0.0001").find("m").path
    assert "step 2: the time for training is over" in capsys.readouterr().err
    with (path / "history.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[-1] == 2, "where the first of ten looks would have been"


@pytest.mark.parametrize("turn", [2, 3])
def test_interrupted_once_its_time_is_up_it_goes_on_to_the_validation(
    place, tmp_path, monkeypatch, capsys, turn
):
    """Its first steps take longer than it may train; the first validation is after the third."""
    words = fit_words(place, tmp_path / "store")
    sets = ("max_steps=24", "validation.times=8", "max_minutes=0.00001")
    learn, turns = Learner.step, count(1)

    def interrupted(self, *given):
        if next(turns) == turn:
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        code = main([*words, *with_recipe(place, *sets)])
    told = capsys.readouterr().err
    assert code == 130
    assert "--resume" in told
    state = tmp_path / "store" / ".runs" / "m" / "state.pt"
    assert torch.load(state, weights_only=True)["step"] == turn
    assert main([*words, "--resume"]) == 0
    told += capsys.readouterr().err
    assert "step 3: the time for training is over" in told
    assert "3 steps" in (ModelStore(tmp_path / "store").find("m").path / "card.md").read_text()


def test_both_the_last_and_the_best(fit):
    kept = ("optimiser.learning_rate=0.3", "validation.times=12", "mean_decay=null")
    best = fit(*kept, "validation.keep=best", "seed=3").load("m")
    last = fit(*kept, "validation.keep=last", "seed=3").load("m")
    store = fit(*kept, "validation.keep=both", "seed=3")
    assert best.manifest.weights.sha256 != last.manifest.weights.sha256
    versions = [store.manifest("m", version).weights.sha256 for version in (3, 4)]
    assert versions == [last.manifest.weights.sha256, best.manifest.weights.sha256]
    assert "Kept: the weights of step" in (store.find("m", 4).path / "card.md").read_text()
    weights = store.load("m", 4).network.state_dict()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def test_of_both_it_is_said_that_their_model_became_the_default(fit, capsys):
    kept = ("optimiser.learning_rate=0.3", "validation.times=12", "mean_decay=null", "seed=3")
    store = fit(*kept, "validation.keep=both")
    assert (store.find("m").version, store.index().default) == (2, "m")
    assert "'m': it answers now where a request names no model" in capsys.readouterr().err


def test_where_the_last_is_the_best_there_is_one_version(fit):
    store = fit("validation.times=1", "validation.keep=both")
    assert store.find("m").version == 1


def test_the_weights_of_every_validation_are_models_of_their_own(fit, capsys):
    kept = ("mean_decay=null", "validation.times=4")
    store = fit(*kept, "validation.keep=every")
    names = ["m", "m-step12", "m-step18", "m-step6"]
    assert [(found.name, found.version) for found in store.models()] == [(n, 1) for n in names]
    assert store.index().default == "m"
    assert "the weights of step 18 are the model 'm-step18'" in capsys.readouterr().err
    assert "Kept: the weights of step 12," in (store.find("m-step12").path / "card.md").read_text()
    assert "Kept" not in (store.find("m").path / "card.md").read_text()
    assert len({store.manifest(name).weights.sha256 for name in names}) == 4
    last = fit(*kept, "validation.keep=last").manifest("m", 2)
    assert store.manifest("m", 1).weights.sha256 == last.weights.sha256
    # What was kept of step 12 is what was validated then.
    with (store.find("m", 1).path / "history.csv").open() as file:
        eers = {row["step"]: float(row["eer"]) for row in csv.DictReader(file) if row["eer"]}
    figures = store.manifest("m-step12").evaluations[0].figures
    assert figures["eer"] == pytest.approx(eers["12"], abs=0.02)


def test_weights_kept_before_an_interruption_are_published_after_it(place, tmp_path):
    words = fit_words(place, tmp_path / "store")
    sets = ("max_steps=24", "validation.times=4", "validation.keep=every", "mean_decay=null")
    judged = Loop._judge

    def interrupted(self, standing):
        judged(self, standing)
        if standing.step == 12:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_judge", interrupted)
        assert main([*words, *with_recipe(place, *sets), "--save-every", "0"]) == 130
    assert main([*words, "--resume"]) == 0
    names = [found.name for found in ModelStore(tmp_path / "store").models()]
    assert names == ["m", "m-step12", "m-step18", "m-step6"]
    assert not list((tmp_path / "store" / ".runs").iterdir())


BETWEEN = (
    # At this rate and by this seed the best weights are not the last.
    ("both", ["m"], "optimiser.learning_rate=0.3", "seed=3", "validation.times=12"),
    ("every", ["m", "m-step6", "m-step12", "m-step18"], "validation.times=4"),
)


def published(store: ModelStore) -> dict[tuple[str, int], str]:
    """The digest of the weights of every version."""
    return {
        (found.name, version): store.manifest(found.name, version).weights.sha256
        for found in store.models()
        for version in store.versions(found.name)
    }


def interrupted_at(turn: int):
    """Judges as ever, until that turn: then Ctrl-C comes."""
    judged, turns = publish.judge, count(1)

    def judge(*arguments, **named):
        if next(turns) == turn:
            raise KeyboardInterrupt
        return judged(*arguments, **named)

    return judge


@pytest.mark.parametrize(("keep", "names", "sets"), [(keep, n, s) for keep, n, *s in BETWEEN])
def test_what_was_published_before_an_interruption_is_not_published_again(
    fit, place, tmp_path, monkeypatch, capsys, keep, names, sets
):
    sets = [f"validation.keep={keep}", "mean_decay=null", *sets]
    whole = published(fit(*sets))
    assert len(whole) == max(2, len(names))
    store = tmp_path / "stopped"
    words = fit_words(place, store)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "judge", interrupted_at(2))
        usual = ("max_steps=24", "batches_per_step=1", "data.turned_classes=false")
        assert main([*words, *with_recipe(place, *usual, *sets)]) == 130
    assert published(ModelStore(store)) == {(names[0], 1): whole[names[0], 1]}
    capsys.readouterr()
    assert main([*words, "--resume"]) == 0
    assert f"before the interruption: '{names[0]}' version 1" in capsys.readouterr().err
    assert published(ModelStore(store)) == whole


def test_what_was_published_and_is_gone_is_published_again(place, tmp_path, monkeypatch):
    store = tmp_path / "store"
    words = fit_words(place, store)
    sets = ("max_steps=12", "validation.times=4", "validation.keep=every", "mean_decay=null")
    with monkeypatch.context() as patch:
        patch.setattr(publish, "judge", interrupted_at(3))
        assert main([*words, *with_recipe(place, *sets)]) == 130
    before = published(ModelStore(store))
    assert list(before) == [("m", 1), ("m-step3", 1)]
    shutil.rmtree(store / "m-step3")
    (store / "m" / "1" / "weights.safetensors").write_bytes(b"damaged")
    assert main([*words, "--resume"]) == 0
    after = published(ModelStore(store))
    assert after["m-step3", 1] == before["m-step3", 1]
    assert after["m", 2] == before["m", 1]


def test_a_name_without_room_for_steps_is_refused_before_training(place, tmp_path, capsys):
    words = fit_words(place, tmp_path / "store")
    words[words.index("m")] = "m" * 60
    assert main([*words, *with_recipe(place, "validation.keep=every")]) == 1
    told = capsys.readouterr().err
    assert "cannot be a model's name" in told
    assert "training" not in told


def test_the_weights_it_starts_from_may_be_the_best(fit, place, tmp_path, capsys):
    """A good model, trained on at a rate that ruins it, is kept as it was."""
    good = fit("max_steps=60").load("m")
    start = f"start.model={tmp_path / 'store' / 'm' / '1'}"
    ruinous = (
        "optimiser.learning_rate=30",
        "mean_decay=null",
        "weights=float32",
        "guard.action=ignore",
    )
    kept = fit(start, *ruinous, "validation.keep=best", "validation.first=true").load("m")
    assert "before training: equal error rate" in capsys.readouterr().err
    for name, tensor in good.network.state_dict().items():
        assert torch.equal(kept.network.state_dict()[name], tensor), name
    assert "step 0" in (kept.path / "card.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_while_it_is_judged_it_says_how_to_go_on_and_does(
    place, tmp_path, monkeypatch, capsys, number
):
    words = [*fit_words(place, tmp_path / "store"), *with_recipe(place)]

    def killed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    # Where tests run in the background of a script, the shell has had it ignored.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(publish, "judge", killed)
            assert main(words) == 130
    finally:
        signal.signal(signal.SIGINT, interrupted)
    assert signal.getsignal(signal.SIGTERM) is before
    told = capsys.readouterr().err
    assert "interrupted; go on with:" in told
    assert "--resume" in told
    assert main([*fit_words(place, tmp_path / "store"), "--resume"]) == 0
    assert "going on after step 12" in capsys.readouterr().err
