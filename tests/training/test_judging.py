"""What a network is calibrated and described by."""

import io
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.training.trees import grown, pngs, whole
from training import judging
from training.data.parts import Parts
from training.judging import judge
from training.progress import Reporter
from training.recipe.files import load_recipe


@pytest.mark.parametrize(("enough_images", "enough_classes", "used"), [(50, 4, 2), (50, 5, 50)])
def test_images_trained_on_describe_too_where_images_or_classes_that_calibrate_are_few(
    tmp_path: Path, monkeypatch, enough_images: int, enough_classes: int, used: int
) -> None:
    monkeypatch.setattr(judging, "ENOUGH_IMAGES", enough_images)
    monkeypatch.setattr(judging, "ENOUGH_CLASSES", enough_classes)
    train, calibration = (
        whole(
            grown(tmp_path / part, pngs(f"{part}{c}/{i}.png" for c in range(classes) for i in of))
        )
        for part, classes, of in (("train", 6, range(10)), ("calibration", 4, range(12)))
    )
    said = io.StringIO()
    outcome = judge(
        tiny.network(),
        Parts(train, None, calibration),
        load_recipe("glyphs"),
        device=torch.device("cpu"),
        reporter=Reporter(said),
    )
    assert f"describing: {used}/{used}" in said.getvalue()
    assert outcome.typicality is not None
    assert outcome.typicality.images == 48, "those that calibrate, and only those, measure"
