"""What TensorBoard reads is what the history says."""

import csv
import shutil
import sys
from pathlib import Path

import pytest

from model_store import ModelStore
from tests.training.drawings import fit_words, fitting_place, with_recipe
from training.cli import main
from training.history import Row
from training.run.tensorboard import scalars

pytestmark = pytest.mark.usefixtures("undrawn")


def fitted(tmp_path: Path) -> int:
    place = fitting_place(tmp_path, classes=8, images=4)
    words = [*fit_words(place, tmp_path / "store"), *with_recipe(place, "max_steps=6")]
    return main([*words, "--tensorboard", str(tmp_path / "board")])


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar's steps and values."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the extra tensorboard is not installed",
    )
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_the_scalars_of_a_run(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    assert fitted(tmp_path) == 0
    found = read(tmp_path / "board" / "m")
    path = ModelStore(tmp_path / "store").find("m").path / "history.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [step for step, _ in found["training/loss"]] == [int(row["step"]) for row in rows]
    for (_, value), row in zip(found["training/loss"], rows, strict=True):
        assert value == pytest.approx(float(row["loss"]), rel=1e-4)
    assert [value for _, value in found["training/accuracy"]] == pytest.approx(
        [float(row["accuracy"]) for row in rows], rel=1e-4
    )
    looked = [row for row in rows if row["eer"]]
    assert len(found["validation/equal error rate"]) == len(looked) == 2
    assert {"training/learning rate", "training/images per second"} <= found.keys()


def test_what_was_written_beyond_the_saved_state_is_not_shown_twice(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    for done, steps in ((0, (1, 2, 3, 4)), (2, (3, 4, 5))):
        with scalars(tmp_path, done, print) as write:
            for step in steps:
                write(row(step, loss=10.0 * done + step))
    assert read(tmp_path)["training/loss"] == [(1, 1), (2, 2), (3, 23), (4, 24), (5, 25)]


def test_a_run_that_begins_is_not_drawn_into_the_one_before(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    for steps, loss in (((0, 1, 2, 3, 4), 1.0), ((0, 2, 4), 2.0)):
        with scalars(tmp_path, 0, print) as write:
            for step in steps:
                write(row(step, loss=loss))
    assert read(tmp_path)["training/loss"] == [(0, 2), (2, 2), (4, 2)]


def test_without_the_library_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert fitted(tmp_path) == 1
    assert ".[tensorboard]" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_cannot_be_written_any_more_is_told_once_and_does_not_end_the_training(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    said: list[str] = []
    with scalars(tmp_path / "board", 0, said.append) as write:
        write(row(1, loss=1.0))
        shutil.rmtree(tmp_path / "board")
        for step in (2, 3, 4):
            write(row(step, loss=1.0))
    (text,) = said
    assert str(tmp_path / "board") in text
    assert "training goes on" in text


def row(step: int, loss: float) -> Row:
    return Row(step, step / 2, 1.0, 0.1, loss, 100.0)
