"""The folder of a run."""

import errno
import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest
import torch

from model_store.files import replace_file
from training.data.split import Split
from training.errors import TrainingError
from training.recipe import Recipe
from training.recipe.files import load_recipe
from training.run.folder import Run, RunRecord
from training.run.state import Kept, load_state


@pytest.fixture
def begun(tmp_path) -> Run:
    split = Split(
        seed=0, unit="class", train=("a", "b"), validation=(), calibration=(), train_digest="0"
    )
    run = Run(tmp_path, "m")
    run.path.mkdir(parents=True)
    run.begin(_recipe(), split, RunRecord(command="fit", recipe="glyphs"))
    return run


@pytest.mark.parametrize(("name", "read"), [("recipe.yaml", Run.recipe), ("split.json", Run.split)])
def test_what_was_changed_after_the_run_began_is_refused(begun, name, read):
    """What comes of it would tell of another recipe, or other classes, than it was trained by."""
    path = begun.path / name
    before = path.read_bytes()
    known = read(begun)
    path.write_bytes(before.replace(b"seed: 0", b"seed: 1").replace(b'"seed": 0', b'"seed": 1'))
    assert path.read_bytes() != before
    with pytest.raises(TrainingError, match=rf"{name} was changed after .* back .*--restart"):
        read(begun)
    path.write_bytes(before)
    assert read(begun) == known


def test_a_run_that_kept_no_digests_goes_on(begun):
    path = begun.path / "run.json"
    record = json.loads(path.read_bytes())
    del record["sha256"]
    path.write_text(json.dumps(record), encoding="utf-8")
    split = begun.path / "split.json"
    split.write_bytes(split.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    assert begun.split().seed == 1
    assert begun.recipe() == _recipe()


def test_what_a_killed_process_left_in_it_is_removed(tmp_path, monkeypatch):
    run = Run(tmp_path, "m")
    with run.locked():
        run.write_state(b"one")
    with monkeypatch.context() as killed:
        # As after a kill, nothing that is tidied up comes to be.
        killed.setattr("pathlib.Path.replace", _killed)
        killed.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        for name in ("state.pt", "history.csv"):
            with suppress(KeyboardInterrupt):
                replace_file(run.path / name, b"two")
    assert len(list(run.path.iterdir())) == 4
    with run.locked():
        assert sorted(path.name for path in run.path.iterdir()) == ["lock", "state.pt"]
        assert run.state.read_bytes() == b"one"


def test_where_there_are_no_locks_a_second_process_leaves_what_the_first_is_writing(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    def come(_: Path) -> None:
        with Run(tmp_path, "m").locked():
            pass

    monkeypatch.setattr(fcntl, "flock", refused)
    run = Run(tmp_path, "m")
    with run.locked():
        replace_file(run.state, b"one", prepare=come)
        assert run.state.read_bytes() == b"one"


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of pickles that it does not know.
@pytest.mark.parametrize(
    "pickled", [b"\x80\x02X\x01\x00\x00\x00\xff.", b"\x80\x02h\x07.", b"\x80\x02.", b""]
)
def test_damaged_files_of_weights_and_state_are_refused_with_advice(tmp_path, pickled):
    run, whole = Run(tmp_path, "m"), io.BytesIO()
    run.path.mkdir(parents=True)
    torch.save("it", whole)
    damaged = io.BytesIO()
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    for name in ("weights-000000000005.pt", "state.pt"):
        (run.path / name).write_bytes(damaged.getvalue())
    with pytest.raises(TrainingError, match=r"weights-0+5\.pt cannot be read \(.+\); .*--restart"):
        list(run.kept())
    with pytest.raises(TrainingError, match=r"state\.pt cannot be taken up \(.+\); .*--restart"):
        load_state(run.state, mock.Mock())


def test_for_want_of_memory_no_file_is_called_damaged(tmp_path, monkeypatch):
    run = Run(tmp_path, "m")
    run.path.mkdir(parents=True)
    run.keep(Kept(5, 0.25, {"a": torch.ones(2)}))
    run.write_state(b"")
    assert [(kept.step, kept.eer) for kept in run.kept()] == [(5, 0.25)]
    monkeypatch.setattr(torch, "load", mock.Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        list(run.kept())
    with pytest.raises(MemoryError):
        load_state(run.state, mock.Mock())


def _recipe() -> Recipe:
    return load_recipe("glyphs", ["seed=0"])


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
