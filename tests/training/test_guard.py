"""Real trainings of a tiny network: healthy ones go on, collapsed ones are stopped and kept."""

import csv
import io
from pathlib import Path

import pytest

from tests.training.drawings import fit_words, fitting_place, with_recipe
from training.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")

PAIRS = ("sampling.name=balanced-pairs",)
TRIPLETS = ("sampling.name=classes-by-images", "batch=16", "loss.name=triplet-margin")
SIGMOID = (
    *PAIRS,
    "loss.name=binary-cross-entropy",
    "network.comparator.name=absolute-difference-sigmoid",
    "network.comparator.options.hidden=8",
)
CONTRASTIVE = (*PAIRS, "loss.name=contrastive", "loss.options.margin=1")
HEALTHY = {
    "cosine-softmax": (),
    "triplet": (*TRIPLETS, "optimiser.learning_rate=0.02"),
    "sigmoid": (*SIGMOID, "optimiser.name=adam", "optimiser.learning_rate=0.02"),
    "contrastive": (*CONTRASTIVE, "optimiser.learning_rate=0.02"),
}
# The decay takes away each weight, and the gradient gives back next to nothing.
SHRINKING = (
    "network.branches.0.batch_norm=false",
    "network.branches.0.normalise=false",
    "schedule.warm_up=0",
    "mean_decay=null",
    "optimiser.learning_rate=0.0001",
    "optimiser.momentum=0",
    "optimiser.weight_decay=10000",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("guard"), classes=16, images=5)


@pytest.fixture
def fit(place, tmp_path):
    def run(*values: str, further: tuple[str, ...] = (), steps: int = 30) -> int:
        sets = (
            f"max_steps={steps}",
            "guard.least_steps=10",
            "validation.times=3",
            "data.turned_classes=false",
            "batches_per_step=1",
            *values,
        )
        words = [*fit_words(place, tmp_path / "store"), *further]
        if "--resume" not in further:
            words += with_recipe(place, *sets)
        return main(words)

    return run


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((path / "history.csv").read_text())))


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_goes_on_to_its_end(fit, store, name):
    assert fit(*HEALTHY[name]) == 0
    path = store.find("m").path
    seen = [row for row in rows(path) if row["spread"]]
    assert [row["step"] for row in seen] == ["10", "20", "30"]
    last = seen[-1]
    assert float(last["genuine_distance"]) < float(last["impostor_distance"])
    assert 0.1 < float(last["spread"]) <= 1
    assert float(last["collapsed_loss"]) > 0
    assert "collapsed" not in (path / "card.md").read_text()


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ((*TRIPLETS, "loss.options.mining=batch-hard"), "all 20 embeddings of the validation"),
        (SIGMOID, "all 20 embeddings of the validation images are the same"),
        ((*CONTRASTIVE, "validation.times=0"), "all 40 embeddings of the images trained on"),
    ],
)
def test_a_collapse_stops_the_run_and_keeps_it(fit, store, capsys, values, seen):
    assert fit(*values, *SHRINKING) == 1
    told = capsys.readouterr().err
    assert "error: training has collapsed at step" in told
    assert seen in told
    assert "--set optimiser.learning_rate=1e-05" in told
    assert "--set optimiser.weight_decay=1e+03" in told
    assert ("mining=semi-hard" in told) == ("loss.options.mining=batch-hard" in values)
    assert "Traceback" not in told
    assert store.models() == []
    kept = store.root / ".runs" / "m"
    assert str(kept) in told
    assert (kept / "state.pt").is_file()
    assert rows(kept)[-1]["spread"]


def test_it_may_go_on_if_it_is_told_to(fit, store, capsys):
    assert fit(*CONTRASTIVE, *SHRINKING) == 1
    assert fit(further=("--resume",)) == 1
    assert "collapsed" in capsys.readouterr().err
    assert fit(further=("--resume", "--set", "guard.action=warn")) == 0
    assert "note: training has collapsed" not in capsys.readouterr().err, "it has been said"
    card = (store.find("m").path / "card.md").read_text()
    assert "## Warnings" in card
    assert "the training had collapsed at step 30" in card


def test_a_warning_is_said_once(fit, capsys):
    assert fit(*CONTRASTIVE, *SHRINKING, "guard.action=warn") == 0
    assert capsys.readouterr().err.count("note: training has collapsed at step") == 1


def test_ignore_says_nothing(fit, capsys):
    assert fit(*CONTRASTIVE, *SHRINKING, "guard.action=ignore") == 0
    assert "note: training has collapsed" not in capsys.readouterr().err
