"""A projection in closed form, fitted through the command line."""

import re

import pytest

from tests.training.drawings import draw_folder, leave_one
from tests.training.fit.conftest import model_of
from training.cli import main
from training.data.split import Split

# A projection in closed form: no class is kept for calibration alone, and all calibrate.
CLOSED = (
    "max_steps=0",
    "start.projection=whitening",
    "data.turned_classes=false",
    "network.branches.0.pooling=average",
)
SETS = [word for value in CLOSED for word in ("--set", value)]


@pytest.fixture(scope="module")
def fitted(place):
    return model_of(place, *SETS)


class TestTwelveClasses:
    def test_all_classes_calibrate_and_judge(self, fitted):
        checkpoint, _, told = fitted
        manifest = checkpoint.manifest
        split = Split.from_json((checkpoint.path / "split.json").read_bytes())
        assert split.crossed
        assert (len(split.train), len(split.validation), split.calibration) == (9, 3, ())
        assert manifest.calibration.classes == 12
        assert "each pair scored by what was fitted to others" in manifest.calibration.data
        assert manifest.evaluations[0].figures["classes"] == 12
        assert checkpoint.typicality.classes == 12
        assert "crossing: 32/32" in told
        assert "training 'm'" not in told, "no step is, and none is announced"
        assert (checkpoint.path / "reliability.png").is_file()

    def test_its_report_and_evaluations_know_which_classes_calibrated_it(
        self, fitted, place, tmp_path, capsys
    ):
        out, store = tmp_path / "m.html", str(place / "fitted")
        words = ["--data", str(place / "two"), "--store", store, "--device", "cpu"]
        assert main(["report", "m", *words, "--out", str(out)]) == 0
        text = out.read_text(encoding="utf-8")
        assert "two, all classes, each pair scored by what was fitted to others" in text
        assert "is calibrated on classes that are among these" in text
        assert "Reliability" in text, "as `fit` has drawn it, of classes that did not calibrate"
        capsys.readouterr()
        classes = ("--classes", "validation", "--protocol", "verification")
        assert main(["evaluate", "m", *words, *classes]) == 0
        assert "calibrated on classes that are among these" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
class TestOtherClasses:
    def test_four_classes_are_enough(self, command, store, tmp_path, capsys):
        few = draw_folder(tmp_path / "few", classes=4, images=3)
        assert command(data=few) == 1
        refused = capsys.readouterr().err
        assert "at least 6: 2 each to train, validate and calibrate" in refused
        assert command(*SETS, data=few) == 0
        assert store.load("m").manifest.calibration.classes == 4

    def test_three_are_not_and_the_message_says_how_many_are(self, command, tmp_path, capsys):
        few = draw_folder(tmp_path / "few", classes=3, images=3)
        assert command(*SETS, data=few) == 1
        told = capsys.readouterr().err
        assert "at least 4: 2 each to train and validate. Add classes" in told
        assert "do without (--set split.validation=0)" in told

    @pytest.mark.parametrize("first", [(), ("--set", "split.validation=0")])
    def test_of_two_none_would_be_left_to_fit_to_and_the_advice_helps(
        self, command, store, tmp_path, capsys, first
    ):
        few = draw_folder(tmp_path / "few", classes=2, images=4)
        assert command(*SETS, *first, data=few) == 1
        advice = re.search(r"or do without[^(]*\((--set \S+ --set \S+)\)", capsys.readouterr().err)
        assert advice is not None
        assert command(*SETS, *advice[1].split(), data=few) == 0
        assert store.load("m").manifest.calibration is None

    def test_three_are_enough_where_none_validate_though_one_has_a_single_image(
        self, command, store, tmp_path
    ):
        few = draw_folder(tmp_path / "few", classes=3, images=4)
        leave_one(few / "class01")
        assert command(*SETS, "--set", "split.validation=0", data=few) == 0
        calibration = store.load("m").manifest.calibration
        assert calibration.classes == 2, "those with genuine pairs"
        assert calibration.impostor_pairs == 4 * 4 + 2 * 4 * 1, "all three"

    def test_a_sampler_that_could_draw_nothing_is_not_asked(
        self, command, store, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        data = draw_folder(tmp_path / "d", classes=8, images=4)
        leave_one(*(data / f"class{number:02}" for number in range(2, 8)))
        values = (*CLOSED, "sampling={name: classes-by-images, options: {images: 8}}")
        sets = [word for value in values for word in ("--set", value)]
        assert command(*sets, "--dry-run", data=data) == 0
        assert command(*sets, data=data) == 0
        assert store.load("m").manifest.calibration.genuine_pairs == 2 * 6
        assert command(*sets, "--set", "max_steps=1", data=data) == 1

    def test_classes_of_one_image_cannot_judge(self, command, tmp_path, capsys):
        single = draw_folder(tmp_path / "single", classes=6, images=1)
        assert command(*SETS, data=single) == 1
        assert (
            "not one of the 6 classes drawn for calibration has two images"
            in capsys.readouterr().err
        )

    def test_whoever_wants_none_to_calibrate_has_none(self, command, store):
        assert command(*SETS, "--set", "split.calibration=0") == 0
        checkpoint = store.load("m")
        assert checkpoint.manifest.calibration is None
        assert not Split.from_json((checkpoint.path / "split.json").read_bytes()).crossed

    def test_classes_of_another_folder_calibrate_as_they_are(self, command, place, store):
        assert command(*SETS, "--holdout", str(place / "other")) == 0
        checkpoint = store.load("m")
        assert not Split.from_json((checkpoint.path / "split.json").read_bytes()).crossed
        assert checkpoint.manifest.calibration.classes == 6
