"""A run that is interrupted, killed or refused, and one that goes on as if nothing had happened."""

import errno
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from model_store import ModelStore
from model_store.files import replace_file
from tests import tiny
from tests.training.drawings import draw_folder, fit_words, fitting_place, with_recipe
from training.cli import main
from training.history import from_csv
from training.run.folder import Run

pytestmark = pytest.mark.usefixtures("undrawn")

STEPS = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("resume"), classes=10, images=5)


def arguments(place: Path, store: Path, *further: str, steps: int = STEPS) -> list[str]:
    recipe = [] if "--resume" in further else with_recipe(place, f"max_steps={steps}")
    return [*fit_words(place, store), *recipe, *further]


@pytest.fixture(scope="module")
def whole(place, undrawn) -> str:
    """The digest of the weights of a run that nothing disturbs."""
    assert main(arguments(place, place / "undisturbed")) == 0
    return digest(place / "undisturbed")


def digest(store: Path) -> str:
    return ModelStore(store).manifest("m").weights.sha256


def step_of(state: Path) -> int:
    return int(torch.load(state, weights_only=True)["step"])


def stopped(place: Path, store: Path, number: signal.Signals) -> tuple[int, str]:
    """Starts a run in another process, and stops it by a signal after its first saved state."""
    state = store / ".runs" / "m" / "state.pt"
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *arguments(place, store, "--save-every", "0")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    return process.returncode, told


@pytest.fixture(scope="module")
def interrupted(place, undrawn) -> Path:
    """A store with a run that Ctrl-C has interrupted, late, as it is taken up by many tests."""
    store = place / "interrupted"
    assert _interrupted_at(STEPS - 10, place, store) == 130
    return store


@pytest.fixture
def store(interrupted, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(interrupted, tmp_path / "store")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_goes_on_bit_for_bit(place, whole, tmp_path, number):
    store = tmp_path / "store"
    code, told = stopped(place, store, number)
    state = store / ".runs" / "m" / "state.pt"
    assert 0 < step_of(state) < STEPS, told
    if number != signal.SIGKILL:
        assert code == 130
        assert "--resume" in told
    assert main(arguments(place, store, "--resume")) == 0
    assert digest(store) == whole
    assert not state.exists()


def test_interrupted_again_and_again(place, whole, store):
    """Every resumed part ends at once, after one step, and the whole is still the same."""
    state = store / ".runs" / "m" / "state.pt"
    for _ in range(3):
        before = step_of(state)
        assert _interrupted_at_once(place, store, "--resume") == 130
        assert step_of(state) == before + 1
    assert main(arguments(place, store, "--resume")) == 0
    assert digest(store) == whole


def test_ctrl_c(place, whole, store):
    assert main(arguments(place, store, "--resume")) == 0
    assert digest(store) == whole


def test_ctrl_c_while_it_is_judged(place, whole, store, capsys):
    assert _interrupted_in("training.fit.fitting.publish", place, store, "--resume") == 130
    told = capsys.readouterr().err
    program, *words = shlex.split(told.partition("go on with:\n")[2])
    assert Path.cwd() / (shutil.which(program) or "") == Path(sys.executable)
    assert words[:3] == ["-m", "training", "fit"]
    assert words[-1] == "--resume"
    assert main(arguments(place, store, "--resume")) == 0
    assert digest(store) == whole


def test_ctrl_c_in_the_last_step_is_no_wish_to_judge(place, tmp_path, capsys, monkeypatch):
    store = tmp_path / "store"
    assert _interrupted_at_once(place, store, "--set", "max_steps=1") == 130
    assert "judging" not in capsys.readouterr().err
    assert step_of(store / ".runs" / "m" / "state.pt") == 1
    monkeypatch.setattr("training.learning.learner.Learner.step", None)
    assert _interrupted_in("training.fit.fitting.publish", place, store, "--resume") == 130
    assert "going on after step 1" in capsys.readouterr().err


def test_ctrl_c_before_the_first_step_leaves_nothing(place, tmp_path, capsys):
    store = tmp_path / "store"
    assert _interrupted_in("training.fit.jobs.inspect", place, store) == 130
    told = capsys.readouterr().err
    assert "nothing is kept" in told
    assert "--resume" not in told
    assert not (store / ".runs" / "m").exists()


def test_an_alias_that_a_kept_step_would_put_out_of_use_ends_it_before_it_goes_on(
    place, tmp_path, capsys
):
    root = tmp_path / "store"
    assert _interrupted_at_once(place, root, "--set", "validation.keep=every") == 130
    store = ModelStore(root)
    store.save("mine", tiny.network())
    store.set_alias("m-step6", "mine")
    capsys.readouterr()
    assert main(arguments(place, root, "--resume")) == 1
    told = capsys.readouterr().err
    assert "'m-step6' is an alias of 'mine'" in told
    assert "going on" not in told


def test_what_is_printed_goes_on_with_a_run_cut_to_a_time(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("training.fit.jobs.steps_within", lambda *_: 3)
    store, time_limit = tmp_path / "store", ("--minutes", "12.3456789")
    assert _interrupted_at_once(place, store, *time_limit, "--save-every", "7") == 130
    _, *words = shlex.split(capsys.readouterr().err.partition("go on with:\n")[2])
    assert words[words.index("--save-every") + 1] == "7.0"
    assert main([*words[2:], "--minutes", "5"]) == 1
    assert "goes on with the time it began with, --minutes 12.3" in capsys.readouterr().err
    assert main([*words[2:], "--set", "batch=3"]) == 1
    assert main(words[2:]) == 0
    recipe = ModelStore(store).manifest("m").provenance.recipe
    assert (recipe["max_steps"], recipe["max_minutes"] is None) == (3, False)


def test_a_run_without_a_time_is_given_none(place, store, capsys):
    assert main(arguments(place, store, "--resume", "--minutes", "5")) == 1
    assert "no such limit" in capsys.readouterr().err


def _interrupted_in(function: str, place: Path, store: Path, *further: str) -> int:
    """Runs in this process, with Ctrl-C as the function is called."""

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    # Where tests run in the background of a script, the shell has had the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(function, interrupted)
            return main(arguments(place, store, *further))
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted_at_once(place: Path, store: Path, *further: str) -> int:
    """Begins or resumes in this process, with Ctrl-C during the first step."""
    return _interrupted_at(1, place, store, *further)


def _interrupted_at(number: int, place: Path, store: Path, *further: str) -> int:
    """The same, with Ctrl-C during a later step of those it takes."""
    from training.learning.learner import Learner

    step, taken = Learner.step, itertools.count(1)

    def interrupted(self, *given):
        if next(taken) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        return main(arguments(place, store, *further))


@pytest.mark.parametrize(("unfinished", "advice"), [(False, "begin anew"), (True, "--resume")])
def test_a_full_disk_is_told_with_what_can_still_be_done(
    place, store, tmp_path, capsys, monkeypatch, unfinished, advice
):
    def full(path: Path, data: bytes) -> None:
        if path.name == "state.pt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(path, data)

    monkeypatch.setattr("training.run.folder.replace_file", full)
    chosen = store if unfinished else tmp_path / "fresh"
    further = ["--resume"] if unfinished else []
    assert main(arguments(place, chosen, "--save-every", "0", *further)) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "No space left" in told
    assert told.endswith(advice)
    assert (chosen / ".runs" / "m").exists() == unfinished


class TestUnfinished:
    def test_is_no_model_whatever_its_name(self, store):
        (store / ".runs" / "m").rename(store / ".runs" / "7")
        assert ModelStore(store).models() == []

    def test_is_not_thrown_away_by_accident(self, place, store, capsys):
        state = store / ".runs" / "m" / "state.pt"
        before = state.read_bytes()
        assert main(arguments(place, store)) == 1
        told = capsys.readouterr().err
        assert "--resume" in told
        assert "--restart" in told
        assert state.read_bytes() == before

    def test_restart(self, place, store, whole):
        assert main(arguments(place, store, "--restart")) == 0
        assert digest(store) == whole

    def test_is_not_called_the_new_one_where_that_was_interrupted_early(
        self, place, store, whole, capsys
    ):
        capsys.readouterr()
        new = ("--restart", "--set", "max_steps=5")
        assert _interrupted_in("training.fit.jobs.inspect", place, store, *new) == 130
        told = capsys.readouterr().err
        assert "the earlier run is still there" in told
        assert "go on with:" not in told
        assert main(arguments(place, store, "--resume")) == 0
        assert digest(store) == whole

    def test_goes_on_from_rows_of_before_accuracies_were_kept(self, place, store, whole):
        run = store / ".runs" / "m"
        content = torch.load(run / "state.pt", weights_only=True)
        rows = content["history"]
        for row in rows:
            del row["accuracy"]
        torch.save(content, run / "state.pt")
        assert main(arguments(place, store, "--resume")) == 0
        assert digest(store) == whole
        history = from_csv((ModelStore(store).find("m").path / "history.csv").read_bytes())
        known = [row.accuracy is not None for row in history]
        assert known == [False] * len(rows) + [True] * (len(history) - len(rows))

    def test_is_not_thrown_away_for_one_that_cannot_begin(self, place, store, whole):
        state = store / ".runs" / "m" / "state.pt"
        before = state.read_bytes()
        for wrong in (
            ["--recipe", "nothing"],
            ["--data", "nowhere"],
            ["--set", "sampling.name=nothing"],
            ["--set", "start.model=nowhere"],
            # What is found out only as the training is put together.
            ["--set", "loss.options.scale=-1"],
            ["--set", "network.branches.0.backbone=nothing"],
            ["--set", "augmentation.options.knots=1"],
            ["--set", "synchronised_batch_norm=true"],
        ):
            assert main(arguments(place, store, "--restart", *wrong)) == 1
            assert state.read_bytes() == before
        assert main(arguments(place, store, "--resume")) == 0
        assert digest(store) == whole

    def test_is_not_thrown_away_where_the_place_for_scalars_is_refused(
        self, place, store, tmp_path, capsys
    ):
        pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
        state = store / ".runs" / "m" / "state.pt"
        before = state.read_bytes()
        board = tmp_path / "board"
        board.touch()
        assert main(arguments(place, store, "--restart", "--tensorboard", str(board))) == 1
        assert "give --tensorboard another folder" in capsys.readouterr().err
        assert state.read_bytes() == before

    def test_goes_on_with_its_own_recipe_only(self, place, store, capsys):
        assert main(arguments(place, store, "--resume", "--set", "batch=3")) == 1
        assert "recipe" in capsys.readouterr().err

    def test_goes_on_where_its_own_recipe_is_named(self, place, store, whole):
        again = with_recipe(place, f"max_steps={STEPS}")
        assert main(arguments(place, store, "--resume", *again)) == 0
        assert digest(store) == whole

    def test_goes_on_with_its_own_data_only(self, place, store, capsys, tmp_path):
        other = draw_folder(tmp_path / "other", classes=10, images=5, seed=4)
        words = arguments(place, store, "--resume")
        words[words.index("--data") + 1] = str(other)
        assert main(words) == 1
        assert "not the data" in capsys.readouterr().err
        assert (store / ".runs" / "m" / "state.pt").exists()

    @pytest.mark.parametrize("damage", ["cut", "other", "pickle"])
    def test_a_damaged_state_is_refused_with_advice(self, place, store, capsys, damage):
        state = store / ".runs" / "m" / "state.pt"
        if damage == "cut":
            state.write_bytes(state.read_bytes()[:1000])
        elif damage == "other":
            torch.save({"format": 99}, state)
        else:
            torch.save(_Dangerous(), state)
        assert main(arguments(place, store, "--resume")) == 1
        assert "--restart" in capsys.readouterr().err

    def test_a_damaged_recipe_is_refused_with_advice(self, place, store, capsys):
        (store / ".runs" / "m" / "recipe.yaml").write_text("network: [")
        assert main(arguments(place, store, "--resume")) == 1
        assert "--restart" in capsys.readouterr().err

    def test_a_damaged_or_lost_split_is_refused_in_a_line(self, place, store, capsys):
        split = store / ".runs" / "m" / "split.json"
        split.write_text('{"seed": 0')
        assert main(arguments(place, store, "--resume")) == 1
        split.unlink()
        assert main(arguments(place, store, "--resume")) == 1
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 2
        assert "cannot be read (No such file or directory); begin anew with --restart" in told[1]

    def test_two_at_a_time_are_refused(self, place, store, capsys):
        import fcntl

        with (store / ".runs" / "m" / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert main(arguments(place, store, "--resume")) == 1
        assert "another process" in capsys.readouterr().err

    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
    def test_without_locks_one_at_a_time_goes_on(self, tmp_path, monkeypatch, number):
        import fcntl

        def flock(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)
        with Run(tmp_path, "m").locked():
            assert (tmp_path / ".runs" / "m").is_dir()


class _Dangerous:
    def __reduce__(self):
        return (os.abort, ())
