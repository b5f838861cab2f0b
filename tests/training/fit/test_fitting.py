"""From a folder to a checkpoint, through the command line."""

import csv
import io
import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from model_store import ModelStore
from tests import tiny
from tests.training.drawings import SMALL_RECIPE, draw_folder, leave_one
from tests.training.fit.conftest import model_of, run_fit
from training.data.split import Split
from training.errors import TrainingError
from training.publishing.warned import read_warned
from training.recipe.files import load_recipe


@pytest.fixture(scope="module")
def fitted(place):
    return model_of(place)


@pytest.fixture
def further(fitted, store, undrawn):
    """A store with the model, for further ones."""
    return shutil.copytree(fitted[0].path.parent.parent, store.root)


class TestTwoLevels:
    def test_the_manifest_tells_all(self, fitted, place):
        manifest = fitted[0].manifest
        assert (manifest.name, manifest.version) == ("m", 1)
        assert manifest.weights.dtype == "float16"
        assert [entry.protocol for entry in manifest.evaluations] == ["verification"]
        assert manifest.evaluations[0].figures["classes"] == 3
        assert manifest.calibration.classes == 6, "those that validate calibrate what ships, too"
        assert manifest.provenance.seed == 0
        assert "--data" in manifest.provenance.command
        assert manifest.provenance.data == "two: 30 images of 6 classes"
        # So small a network is trained in float32, which `auto` becomes.
        recipe = load_recipe(str(place / "small.yaml"), ["precision=float32"])
        assert manifest.provenance.recipe == recipe.model_dump(mode="json")

    def test_what_lies_beside_it(self, fitted, place):
        checkpoint = fitted[0]
        split = Split.from_json((checkpoint.path / "split.json").read_bytes())
        names = [f"class{number:02}" for number in range(12)]
        assert sorted((*split.train, *split.validation, *split.calibration)) == names
        assert split.train_digest == checkpoint.manifest.provenance.data_digest
        recipe = load_recipe(str(checkpoint.path / "recipe.yaml"))
        assert recipe == load_recipe(str(place / "small.yaml"), ["precision=float32"])
        rows = list(csv.DictReader(io.StringIO((checkpoint.path / "history.csv").read_text())))
        assert [int(row["step"]) for row in rows] == list(range(1, 13))
        assert [row["step"] for row in rows if row["eer"]] == ["6", "12"]
        for name in ("curves.png", "roc.png", "scores.png", "pairs.png"):
            with Image.open(checkpoint.path / name) as picture:
                picture.load()
                assert (picture.format, picture.width) == ("PNG", 900)
            assert (checkpoint.path / name).stat().st_size < 300_000
        card = (checkpoint.path / "card.md").read_text()
        assert "30 images of 6 classes to train on" in card
        assert (checkpoint.path / "warnings.json").is_file()
        warned = read_warned(checkpoint.path)
        assert any("12 step(s)" in said for said in warned.training)
        assert any("6 classes say little about others" in said for said in warned.calibration)
        assert [said[:20] for said in warned.typicality] == ["fewer than 40 images"]
        for said in warned.training:
            assert f"\n- {said}\n" in card
        for said in (*warned.calibration, *warned.typicality):
            assert f"\n- Note: {said}\n" in card
        assert f"{checkpoint.manifest.evaluations[0].figures['auc']:.4f}" in card

    def test_the_run_is_gone_and_the_next_commands_are_told(self, fitted, place):
        store = ModelStore(place / "fitted")
        assert not list((store.root / ".runs").iterdir())
        assert [found.name for found in store.models()] == ["m"]
        printed = fitted[1]
        assert "python -m app" in printed
        assert "curl" in printed

    def test_it_has_learnt_something_and_told_how_it_went(self, fitted):
        assert fitted[0].manifest.evaluations[0].figures["auc"] > 0.8
        line = r"training: 12/12, loss [\d.]+, accuracy [\d.]+%, [\d,]+ images/s, learning rate \S+"
        assert re.search(line, fitted[2])

    def test_again_gives_the_same_weights_as_version_2(self, fitted, further, command, store):
        assert command() == 0
        again = store.load("m")
        assert again.manifest.version == 2
        assert again.manifest.weights.sha256 == fitted[0].manifest.weights.sha256

    def test_another_seed_gives_others(self, fitted, further, command, store):
        assert command("--seed", "1") == 0
        again = store.load("m").manifest
        assert again.provenance.seed == 1
        assert again.weights.sha256 != fitted[0].manifest.weights.sha256


@pytest.fixture(scope="module")
def grouped(place, undrawn):
    """A model of classes in groups."""
    assert run_fit(place, place / "grouped", data="three") == 0
    return ModelStore(place / "grouped").load("m")


@pytest.mark.usefixtures("undrawn")
class TestThreeLevels:
    def test_split_by_group_with_one_shot_trials(self, grouped):
        split = Split.from_json((grouped.path / "split.json").read_bytes())
        parts = [
            {name.split("/")[0] for name in part}
            for part in (split.train, split.validation, split.calibration)
        ]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 12
        protocols = [entry.protocol for entry in grouped.manifest.evaluations]
        assert protocols == ["verification", "one-shot"]

    def test_no_trials_where_no_group_has_two_classes_to_tell_apart(self, command, store, tmp_path):
        data = draw_folder(tmp_path / "alone", groups=12, classes=1, images=4)
        assert command(data=data) == 0
        evaluations = store.load("m").manifest.evaluations
        assert [entry.protocol for entry in evaluations] == ["verification"]

    def test_a_zip_is_as_good_as_a_folder(self, grouped, command, store, place, tmp_path):
        archive = tmp_path / "three.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted((place / "three").rglob("*.png")):
                file.write(path, Path("wrapped") / path.relative_to(place / "three"))
        assert command(data=archive) == 0
        assert store.manifest("m").weights.sha256 == grouped.manifest.weights.sha256

    def test_holdout(self, command, store, place):
        assert command("--holdout", str(place / "other"), data="three") == 0
        checkpoint = store.load("m")
        split = Split.from_json((checkpoint.path / "split.json").read_bytes())
        assert len(split.train) == 36
        assert len(split.validation) + len(split.calibration) == 6
        assert "36 classes" in checkpoint.manifest.provenance.data


@pytest.mark.usefixtures("undrawn")
class TestOtherWays:
    def test_train_and_val_folders(self, command, store, tmp_path):
        draw_folder(tmp_path / "d" / "train", classes=6, images=4)
        draw_folder(tmp_path / "d" / "val", classes=6, images=4, seed=3)
        assert command(data=tmp_path / "d") == 0
        card = (store.find("m").path / "card.md").read_text()
        assert "the data is split by image" in card
        assert "never trained on" not in card
        calibration = store.manifest("m").calibration
        assert "classes of which 6 were trained on, by other images" in calibration.data

    @pytest.mark.parametrize("loss", ["prototypical", "binary-cross-entropy"])
    def test_losses_of_pairs_and_trials(self, command, store, loss):
        sets = {
            "prototypical": ["sampling.name=classes-by-images", "loss.name=prototypical"],
            "binary-cross-entropy": [
                "sampling.name=balanced-pairs",
                "loss.name=binary-cross-entropy",
                "network.comparator.name=absolute-difference-sigmoid",
                "network.comparator.options.hidden=8",
                "precision=bf16",
                "clip=1",
                "mean_decay=null",
                "validation.keep=best",
            ],
        }[loss]
        assert command(*(word for value in sets for word in ("--set", value))) == 0
        assert store.load("m").manifest.evaluations

    def test_images_that_do_not_fit_into_memory_give_the_same_network(self, fitted, command, store):
        assert command("--set", "data.memory_share=0") == 0
        assert store.manifest("m").weights.sha256 == fitted[0].manifest.weights.sha256

    def test_nor_does_memory_matter_where_images_cannot_be_used(self, command, store, tmp_path):
        folder = draw_folder(tmp_path / "d", classes=12, images=5)
        for name in ("class03/01.png", "class07/00.png", "class07/04.png"):
            (folder / name).write_text("not an image")
        assert command(name="a", data=folder) == 0
        assert command("--set", "data.memory_share=0", name="b", data=folder) == 0
        assert store.manifest("a").weights.sha256 == store.manifest("b").weights.sha256

    def test_bad_images_are_named_early_and_at_the_end(self, command, store, tmp_path, capsys):
        folder = draw_folder(tmp_path / "d é", classes=12, images=5)
        (folder / "class03" / "01.png").write_text("not an image")
        (folder / "class99").mkdir()
        assert command(data=folder) == 0
        told = capsys.readouterr().err
        early, _, late = told.partition("training 'm': ")
        assert "1 file(s) cannot be used as images: class03/01.png (the first: not an" in early
        assert "class03/01.png: not an image" in late
        assert "class99: an empty class" in told
        skipped = (store.find("m").path / "skipped.csv").read_text()
        assert "class03/01.png" in skipped

    def test_no_classes_to_spare(self, command, store):
        nothing = ("--set", "split.validation=0", "--set", "split.calibration=0")
        assert command(*nothing) == 0
        manifest = store.manifest("m")
        assert manifest.calibration is None
        assert manifest.evaluations == ()


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--set", "bach=3"], "did you mean 'batch'"),
            (["--set", "loss.name=binary-cross-entropy"], "comparator"),
            (["--set", "sampling.name=classes-by-images", "--set", "batch=2"], "too small"),
            (["--set", "network.branches.0.backbone=none"], "no backbone"),
            (
                ["--set", "augmentation={name: jitter, options: {resolution: 0.5}}"],
                "leave the resolution at 1",
            ),
            (["--resume"], "no unfinished run"),
            (["--recipe", "nothing"], "no recipe"),
            (["--set", "optimiser.learning_rate=1e30"], "no longer a number"),
        ],
    )
    def test_with_help_and_without_a_trace(self, command, store, capsys, arguments, message):
        assert command(*arguments) == 1
        told = capsys.readouterr().err
        assert "error: " in told
        assert message in told
        assert "Traceback" not in told
        assert not list((store.root / ".runs").iterdir())

    def test_a_name_that_cannot_be_one(self, command, capsys):
        assert command(name="A b") == 1
        assert "cannot be a model's name" in capsys.readouterr().err

    @pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX")
    def test_a_path_that_the_models_files_cannot_hold(self, command, tmp_path, capsys):
        store = tmp_path / os.fsdecode(b"store\xff")
        assert command("--store", str(store)) == 1
        assert "not valid Unicode" in capsys.readouterr().err
        assert not store.exists()

    def test_data_that_is_not_there(self, command, capsys):
        assert command(data="nowhere") == 1
        assert "nowhere" in capsys.readouterr().err

    def test_one_class(self, command, capsys, tmp_path):
        assert command(data=draw_folder(tmp_path / "d", classes=1, images=5)) == 1
        assert "class" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
class TestWithoutARecipe:
    def test_it_chooses_trains_says_why_and_reports(
        self, command, store, capsys, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        assert command("--minutes", "2", "--set", "max_steps=2", recipe=False) == 0
        page = (tmp_path / "m-report.html").read_text()
        assert "images of 2 classes" in page
        err = capsys.readouterr().err
        assert "tried before training" in err
        assert "because" in err
        card = (store.find("m").path / "card.md").read_text()
        assert "tried before training" in card
        assert "trained further" not in card, "the length was given, and steps were taken"
        assert "was chosen by classes" not in card + err, "others judge than chose"

    def test_few_classes_of_several_images_among_many_of_one_are_enough(
        self, command, store, capsys, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        data = draw_folder(tmp_path / "d", classes=8, images=6)
        leave_one(*(data / f"class{number:02}" for number in range(3, 8)))
        assert command(data=data, recipe=False) == 0
        assert store.manifest("m").calibration.genuine_pairs == 3 * 15
        chosen = "the starting network was chosen by classes that are among those that judge"
        assert chosen in capsys.readouterr().err
        assert chosen in (store.find("m").path / "card.md").read_text()

    def test_weights_may_be_kept_and_the_report_has_no_place_to_go(
        self, command, store, capsys, tmp_path, monkeypatch
    ):
        (tmp_path / "here" / "m-report.html").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        assert command("--set", "max_steps=0", recipe=False) == 0
        assert store.manifest("m").calibration is not None
        said = capsys.readouterr()
        assert "there is no report" in said.err
        assert "training report m --data" in said.out

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (TrainingError("cannot read a\n  b\x1b[2J"), "cannot read a b\\x1b[2J"),
            (MemoryError(), "there is not enough memory; free some"),
        ],
    )
    def test_why_there_is_no_report_is_told_in_a_line_and_nothing_is_lost(
        self, command, store, capsys, monkeypatch, error, told
    ):
        def refusing(_: object) -> int:
            raise error

        monkeypatch.setattr("training.commands.fit.fit", lambda *_: store.save("m", tiny.network()))
        monkeypatch.setattr("training.commands.report.run", refusing)
        assert command(recipe=False) == 0
        said = capsys.readouterr()
        assert f"there is no report: {told}\n" in said.err
        assert "training report m --data" in said.out


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_alias_is_no_name_for_a_model_which_is_said_before_anything_else(
    command, store, dry, capsys
):
    store.save("mine", tiny.network())
    store.set_alias("live", "mine")
    assert command(*dry, data="absent", name="live") == 1
    assert "'live' is an alias of 'mine'" in capsys.readouterr().err
    assert [entry.name for entry in store.root.iterdir() if entry.is_dir()] == ["mine"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_alias_that_a_kept_step_would_put_out_of_use_is_said_before_training(
    command, store, dry, capsys
):
    store.save("mine", tiny.network())
    store.set_alias("m-step6", "mine")
    assert command(*dry, "--set", "validation.keep=every") == 1
    told = capsys.readouterr().err
    assert "'m-step6' is an alias of 'mine'" in told
    assert "duplicates" not in told


def test_it_is_said_before_a_recipe_is_chosen(command, store, capsys, monkeypatch):
    def late(*_: object, **__: object) -> None:
        pytest.fail("a recipe is chosen, which takes minutes")

    monkeypatch.setattr("training.fit.jobs.choose", late)
    store.save("mine", tiny.network())
    store.set_alias("m-step6", "mine")
    assert command("--set", "validation.keep=every", recipe=False) == 1
    assert "'m-step6' is an alias of 'mine'" in capsys.readouterr().err


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_model_whose_folder_cannot_be_written_is_said_before_anything_else(
    command, store, dry, capsys, monkeypatch
):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    store.save("m", tiny.network())
    monkeypatch.setattr("model_store.versions.make_folder", refused)
    assert command(*dry, data="absent") == 1
    assert "mend the permissions" in capsys.readouterr().err


def test_the_record_of_an_evaluation_is_json(fitted):
    content = json.loads((fitted[0].path / "manifest.json").read_text())
    assert content["evaluations"][0]["figures"]["pairs"] > 0


def test_the_recipe_of_the_tests_is_small():
    assert "max_steps: 12" in SMALL_RECIPE


@pytest.mark.parametrize(
    "lacking",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")],
)
def test_a_want_of_memory_is_told_with_what_takes_less(
    command, store, monkeypatch, capsys, lacking
):
    def step(*_: object) -> None:
        raise lacking

    monkeypatch.setattr("training.learning.learner.Learner.step", step)
    assert command() == 1
    told = capsys.readouterr().err
    assert "error: there is not enough memory" in told
    assert "--set batch=" in told
    assert "--restart" in told
    assert not (store.root / ".runs" / "m").exists(), "what never stood is no unfinished run"


def test_other_errors_of_libraries_are_not_taken_for_it(command, monkeypatch):
    def step(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("training.learning.learner.Learner.step", step)
    with pytest.raises(RuntimeError, match="mat1"):
        command()
