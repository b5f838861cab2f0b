"""What a network is calibrated and described by."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.network import SiameseNetwork, Side
from tests import tiny
from tests.training.trees import grown, pngs, whole
from training import judging
from training.crossing import Crossed, cross_pairs
from training.data.folders import ImageFolder
from training.data.parts import Parts, together
from training.data.sides import join_sides
from training.evaluation.embedding import embed_folder
from training.judging import Outcome, judge
from training.progress import Reporter
from training.recipe import Recipe
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
        kept="classes",
        device=torch.device("cpu"),
        reporter=Reporter(said),
    )
    assert f"describing: {used}/{used}" in said.getvalue()
    assert outcome.typicality is not None
    assert outcome.typicality.images == 48, "those that calibrate, and only those, measure"


def test_images_trained_on_describe_both_sides_however_few_one_has(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(judging, "ENOUGH_IMAGES", 24 + 10)
    monkeypatch.setattr(judging, "ENOUGH_CLASSES", 4)
    train, calibration = (
        join_sides(
            whole(
                grown(
                    tmp_path / part / "photos", pngs(f"{part}{c}/{i}.png" for c in of for i in each)
                )
            ),
            whole(grown(tmp_path / part / "shop", pngs(f"{part}{c}/front.png" for c in of))),
        )
        for part, of, each in (("train", range(6), range(20)), ("calibration", range(4), range(6)))
    )
    said = io.StringIO()
    judge(
        tiny.network(sides=2),
        Parts(train, None, calibration),
        load_recipe("glyphs"),
        kept="classes",
        device=torch.device("cpu"),
        reporter=Reporter(said),
    )
    assert said.getvalue().count("describing: 5/5") == 2


def test_one_branch_knows_the_images_of_both_sides(tmp_path: Path, monkeypatch) -> None:
    """Photos on the left and catalogue pictures on the right: pale ones, here."""
    monkeypatch.setattr(judging, "ENOUGH_IMAGES", 72 + 10)
    monkeypatch.setattr(judging, "ENOUGH_CLASSES", 12)
    pale = io.BytesIO()
    Image.new("L", (12, 12), 250).save(pale, "PNG")

    def part(name: str) -> ImageFolder:
        names = [f"{name}{c:02}/{i}.png" for c in range(12) for i in range(4)]
        photos = whole(grown(tmp_path / name / "photos", pngs(names)))
        pages = {name: pale.getvalue() for name in names if name.endswith(("/0.png", "/1.png"))}
        return join_sides(photos, whole(grown(tmp_path / name / "shop", pages)))

    network, said = tiny.network(), io.StringIO()
    outcome = judge(
        network,
        Parts(part("train"), None, part("calibration")),
        load_recipe("glyphs"),
        kept="classes",
        device=torch.device("cpu"),
        reporter=Reporter(said),
    )
    assert said.getvalue().count("describing: 5/5") == 2, "both sides help where images are few"
    described = outcome.typicality
    assert described is not None
    assert (described.images, set(described.sides)) == (72, {Side.LEFT})
    pages = embed_folder(network, part("other").on(Side.RIGHT), side=Side.RIGHT)
    assert (pages.typicality(described) >= described.level).all()


def judged(parts: Parts, recipe: Recipe, *, crossed: bool = False) -> Outcome:
    device, reporter = torch.device("cpu"), Reporter(io.StringIO())

    def cross(network: SiameseNetwork) -> Crossed:
        folder = together(parts.train, parts.validation)
        assert folder is not None
        return cross_pairs(
            network, folder, recipe, max_impostors=10_000, device=device, reporter=reporter
        )

    return judge(
        tiny.network(),
        parts,
        recipe,
        kept="classes",
        cross=cross if crossed else None,
        device=device,
        reporter=reporter,
    )


class TestClassesKept:
    """All of them calibrate what ships; the figures are by a calibration by some of them."""

    @pytest.fixture
    def parts(self, tmp_path: Path) -> Parts:
        folder = whole(
            grown(tmp_path, pngs(f"c{c:02}/{i}.png" for c in range(18) for i in range(4)))
        )
        return Parts(
            folder.subset(range(6)), folder.subset(range(6, 11)), folder.subset(range(11, 18))
        )

    def test_what_ships_is_calibrated_by_both(self, parts: Parts) -> None:
        outcome = judged(parts, load_recipe("images"))
        assert outcome.calibration is not None
        assert outcome.calibration.classes == 12
        assert outcome.calibration.genuine_pairs == 12 * 6
        assert outcome.calibration.impostor_pairs == 66 * 16

    def test_the_figures_are_of_validation_by_the_other_classes_alone(self, parts: Parts) -> None:
        outcome = judged(parts, load_recipe("images"))
        alone = judged(replace(parts, validation=None), load_recipe("images")).calibration
        assert alone is not None
        assert alone.classes == 7
        (evaluation,) = outcome.evaluations
        assert evaluation.figures["classes"] == 5
        assert "28 images of 7 classes" in evaluation.calibrated_by
        # Of images embedded among others, and so rounded otherwise.
        wanted = pytest.approx(alone.threshold, rel=1e-5)
        assert evaluation.figures["at_threshold"]["threshold"] == wanted
        assert outcome.calibration.threshold != wanted
        assert outcome.validation.tested[1].threshold == wanted

    def test_images_of_either_side_are_told(self, tmp_path: Path) -> None:
        photos = whole(
            grown(tmp_path / "photos", pngs(f"c{c}/{i}.png" for c in range(8) for i in range(3)))
        )
        shop = whole(grown(tmp_path / "shop", pngs(f"c{c}/front.png" for c in range(8))))
        joined = join_sides(photos, shop)
        parts = Parts(*(joined.subset(range(*ends)) for ends in ((0, 2), (2, 5), (5, 8))))
        outcome = judged(parts, load_recipe("images"))
        (evaluation,) = outcome.evaluations
        told = "9 images of 3 classes; right: 3 images of 3 classes"
        assert evaluation.data == f"photos, validation classes: {told}"
        assert evaluation.calibrated_by == f"photos, calibration classes: {told}"
        assert evaluation.figures["images"] == 12
        assert outcome.calibration is not None
        told = "photos, classes: 18 images of 6 classes; right: 6 images of 6 classes"
        assert outcome.calibration.data == told

    def test_without_classes_to_calibrate_there_are_figures_and_no_calibration(
        self, parts: Parts
    ) -> None:
        outcome = judged(replace(parts, calibration=None), load_recipe("images"))
        assert outcome.calibration is None
        assert outcome.typicality is None
        assert outcome.evaluations[0].figures["at_threshold"] is None


class TestCrossed:
    @pytest.mark.parametrize(("classes", "tested"), [(12, True), (11, False)])
    def test_all_classes_calibrate_and_judge(
        self, tmp_path: Path, classes: int, tested: bool
    ) -> None:
        names = [f"c{c:02}/{i}.png" for c in range(classes) for i in range(4)]
        folder = whole(grown(tmp_path, pngs(names)))
        parts = Parts(folder.subset(range(2, classes)), folder.subset(range(2)), None)
        outcome = judged(parts, load_recipe("images", ["max_steps=0"]), crossed=True)
        assert outcome.calibration is not None
        assert outcome.calibration.classes == classes
        assert outcome.calibration.data_digest == folder.digest()
        (evaluation,) = outcome.evaluations
        assert evaluation.figures["classes"] == classes
        assert (evaluation.figures["at_threshold"] is not None) == tested
        assert ("half of these classes" in evaluation.calibrated_by) == tested
        if tested:
            scored, by = outcome.validation.tested
            assert scored.classes == by.classes == 6
            judging = set(np.unique(scored.genuine_class).tolist())
            assert len(judging) == 6
            assert evaluation.figures["at_threshold"]["threshold"] == by.threshold
