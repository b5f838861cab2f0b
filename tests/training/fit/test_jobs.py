"""What a run is settled to be about."""

import io

import pytest
import torch

from model_store import ModelStore
from tests.training.drawings import draw_folder
from training.automatic import USUAL
from training.data.parts import make_split, open_sources
from training.errors import TrainingError
from training.fit import FitRequest
from training.fit.jobs import new_job
from training.progress import Reporter
from training.recipe.files import load_recipe


@pytest.mark.parametrize(
    "overrides",
    [
        ["split={validation: 0.4, calibration: 0.3}"],
        [" split.validation = 0.4"],
        ["seed = 3", "max_steps=2"],
    ],
)
def test_classes_held_out_take_no_part_in_the_choice(tmp_path, monkeypatch, overrides):
    looked_at = []

    def choose(folder, **_):
        looked_at.extend(entry.name for entry in folder.classes)
        raise TrainingError("enough seen")

    monkeypatch.setattr("training.fit.jobs.choose", choose)
    sources = open_sources(draw_folder(tmp_path / "d", classes=20, images=3), None, None)
    store, cpu = ModelStore(tmp_path / "store"), torch.device("cpu")
    request = FitRequest(tmp_path / "d", "m", store, cpu, overrides=overrides)
    with pytest.raises(TrainingError, match="enough seen"):
        new_job(request, sources, Reporter(io.StringIO()))
    recipe = load_recipe(USUAL, overrides)
    assert looked_at == list(make_split(sources, recipe.split, recipe.seed).train)
