"""Cross-validation: every class is left out once, and judges a network that never saw it."""

import json
import os
import tempfile

import numpy as np
import pytest

from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from tests.training.test_guard import CONTRASTIVE, SHRINKING
from training.cli import main
from training.cross_validation import Fold, averaged, deal_folds
from training.data.opening import open_data
from training.data.parts import open_sources
from training.data.split import deal_classes
from training.errors import DataError
from training.run.session import Session


@pytest.fixture
def drawings(tmp_path):
    return draw_folder(tmp_path / "drawings", classes=6, images=3)


def test_every_class_is_dealt_once_and_evenly(drawings):
    folder = open_data(drawings).whole
    parts = deal_classes(folder, 4, 0)
    assert sorted(len(part) for part in parts) == [1, 1, 2, 2]
    dealt = sorted(name for part in parts for name in part)
    assert dealt == [entry.name for entry in folder.classes]
    assert parts == deal_classes(folder, 4, 0)
    assert parts != deal_classes(folder, 4, 1)


def test_means_and_deviations_are_those_of_the_folds():
    def fold(number: int, eer: float) -> Fold:
        figures = {"auc": 0.9, "eer": eer, "accuracy": 0.8, "frr_at_far": {"0.05": 2 * eer}}
        return Fold(number, ("a", "b"), figures)

    found = averaged([fold(1, 0.1), fold(2, 0.2), fold(3, 0.6)])
    assert found["eer"].mean == pytest.approx(0.3)
    assert found["eer"].deviation == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert (found["eer"].least, found["eer"].most) == (0.1, 0.6)
    assert found["frr_at_far 0.05"].mean == pytest.approx(0.6)
    assert found["auc"].deviation == pytest.approx(0)


def test_the_command_keeps_every_fold_and_goes_on_from_there(drawings, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    target = tmp_path / "folds.json"
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "3"]
    words += ["--set", "max_steps=3", "--json", str(target), "--store", str(tmp_path / "store")]
    assert main(words) == 0
    assert "eer" in capsys.readouterr().out
    content = json.loads(target.read_text())
    left_out = [name for fold in content["done"] for name in fold["classes"]]
    assert sorted(left_out) == [entry.name for entry in open_data(drawings).whole.classes]
    assert all(fold["figures"]["classes"] == 2 for fold in content["done"])
    mean = np.mean([fold["figures"]["eer"] for fold in content["done"]])
    assert content["mean"]["eer"] == pytest.approx(mean)

    last = content["done"].pop()
    target.write_text(json.dumps(content))
    assert main(words) == 0
    assert "fold 1 of 3" not in capsys.readouterr().err
    assert json.loads(target.read_text())["done"][-1] == last

    assert main([*words, "--set", "seed=5"]) == 1
    assert "another recipe" in capsys.readouterr().err


def test_ctrl_c_in_the_first_fold_says_that_none_is_kept(drawings, tmp_path, capsys, monkeypatch):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    target = tmp_path / "folds.json"
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "3"]
    words += ["--json", str(target), "--store", str(tmp_path / "store")]
    monkeypatch.setattr(Session, "train", lambda _: None)
    assert main(words) == 130
    told = capsys.readouterr().err
    assert f"no fold is done yet; each is in {target} from then on" in told
    assert "fold(s) are in" not in told
    assert not target.exists()


def test_a_pipe_gets_all_folds_at_once(drawings, tmp_path, monkeypatch):
    def folds(*_, **__):
        figures = {"auc": 0.9, "eer": 0.1, "accuracy": 0.8, "frr_at_far": {}}
        yield from (Fold(number, ("a", "b"), figures) for number in (1, 2))

    monkeypatch.setattr("training.commands.cross_validate.cross_validate", folds)
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "2"]
    reading, writing = os.pipe()
    assert main([*words, "--json", f"/dev/fd/{writing}"]) == 0
    os.close(writing)
    with os.fdopen(reading) as file:
        assert [fold["number"] for fold in json.load(file)["done"]] == [1, 2]


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_says_what_is_kept_and_has_the_status_of_every_command(
    drawings, tmp_path, capsys, monkeypatch, kept
):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    target = tmp_path / "folds.json"
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "3"]
    words += ["--set", "max_steps=2", "--store", str(tmp_path / "store")]
    words += ["--json", str(target)] if kept else []
    train, trained = Session.train, []

    def interrupted(session):
        trained.append(session)
        return train(session) if len(trained) == 1 else None

    monkeypatch.setattr(Session, "train", interrupted)
    assert main(words) == 130
    told = capsys.readouterr().err
    assert ("1 fold(s) are in " in told) == kept
    assert ("with --json FILE every fold is" in told) != kept
    if kept:
        assert len(json.loads(target.read_text())["done"]) == 1


@pytest.mark.parametrize(
    ("sets", "happened", "advice"),
    [
        (
            ("optimiser.learning_rate=1e30", "max_steps=3"),
            "the network's embeddings are no longer numbers",
            "change the recipe: a lower learning rate (--set optimiser.learning_rate=…)",
        ),
        (
            # Nobody looks at it, so that the loss shows it.
            ("optimiser.learning_rate=1e30", "max_steps=3", "guard.action=ignore"),
            "the loss is no longer a number",
            "change the recipe: a lower learning rate, such as --set optimiser.learning_rate=",
        ),
        (
            (*CONTRASTIVE, *SHRINKING, "guard.least_steps=10", "max_steps=20"),
            "training has collapsed at step",
            "Change the recipe, or train on regardless with --set guard.action=warn",
        ),
    ],
)
def test_a_fold_that_goes_wrong_is_told_with_advice_that_can_be_followed(
    drawings, tmp_path, capsys, sets, happened, advice
):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "3"]
    words += [word for value in sets for word in ("--set", value)]
    assert main([*words, "--store", str(tmp_path / "store"), "--device", "cpu"]) == 1
    told = capsys.readouterr().err.partition("error: ")[2]
    assert happened in told
    assert advice in told
    for cannot in ("--restart", "--resume", "kept in", tempfile.gettempdir()):
        assert cannot not in told


def test_a_start_that_has_seen_classes_of_the_folds_is_told_of(
    drawings, tmp_path, monkeypatch, capsys
):
    def folds(*_, **__):
        raise DataError("seen enough")

    monkeypatch.setattr("training.commands.cross_validate.cross_validate", folds)
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "2"]
    for start, told in (("null", False), ("{backbone: mine.pth}", True)):
        assert main([*words, "--set", f"start={start}"]) == 1
        assert ("is not recorded" in capsys.readouterr().err) == told


def test_a_recipe_is_chosen_by_the_seed_and_the_length_that_are_set(drawings, monkeypatch, capsys):
    given = []

    def asked(*_, seed, length_given, **__):
        given.append((seed, length_given))
        raise DataError("seen enough")

    monkeypatch.setattr("training.commands.cross_validate.choose", asked)
    words = ["cross-validate", "--data", str(drawings), "--folds", "2"]
    for more in (["--set", "seed=7"], ["--set", "max_steps=3"]):
        assert main([*words, *more]) == 1
        assert "seen enough" in capsys.readouterr().err
    assert given == [(7, False), (0, True)]


def test_a_file_of_other_folds_is_refused_before_a_recipe_is_chosen(
    drawings, tmp_path, monkeypatch, capsys
):
    target = tmp_path / "folds.json"
    digest = open_data(drawings).whole.digest()
    words = ["cross-validate", "--data", str(drawings), "--json", str(target)]

    def chosen(*_, **__):
        raise DataError("a recipe is chosen")

    monkeypatch.setattr("training.commands.cross_validate.choose", chosen)
    for about, said in (
        ({"data": digest, "folds": 2}, "a recipe is chosen"),
        ({"data": digest, "folds": 3}, "another number of folds"),
        ({"data": "other", "folds": 2}, "is of other data"),
    ):
        target.write_text(json.dumps({**about, "recipe": "", "done": [], "mean": {}}))
        assert main([*words, "--folds", "2"]) == 1
        assert said in capsys.readouterr().err


def test_that_folds_of_a_calibration_are_not_trained_is_told(drawings, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "4"]
    assert main([*words, "--set", "calibration.folds=2"]) == 1, "6 classes are too few for 4 folds"
    assert "note: calibration.folds is for the calibration" in capsys.readouterr().err


def test_too_many_folds_are_refused(drawings, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "4"]
    assert main([*words, "--store", str(tmp_path / "store")]) == 1
    assert "ask for fewer folds" in capsys.readouterr().err


@pytest.mark.parametrize("chosen", [True, False])
def test_a_fold_that_cannot_judge_is_refused_before_any_is_trained(
    drawings, tmp_path, capsys, chosen
):
    parts = deal_classes(open_data(drawings).whole, 3, 0)
    for name in parts[2]:
        (drawings / name / "00.png").write_text("not an image")
        (drawings / name / "01.png").unlink()
    words = ["cross-validate", "--data", str(drawings), "--store", str(tmp_path / "store")]
    if not chosen:
        words += ["--recipe", str(write_recipe(tmp_path / "r.yaml"))]
    assert main([*words, "--folds", "3"]) == 1
    told = capsys.readouterr().err
    of = f"of the 2 classes of fold 3 of 3 ({', '.join(parts[2])}) not one has two images"
    assert of in told
    assert "ask for fewer folds" in told
    assert "fold 1" not in told
    assert "tried before training" not in told


def test_where_there_are_two_sides_a_class_of_a_fold_needs_both(tmp_path):
    for side, images in (("photos", 1), ("catalogue", 2)):
        draw_folder(tmp_path / side, classes=4, images=images)
    folder = open_sources(tmp_path / "photos", None, tmp_path / "catalogue").train
    first, second = deal_folds(folder, 2, 0)
    rest = folder.without({f"left/{name}/00.png" for name in second})
    with pytest.raises(DataError, match=r"fold 2 of 2 .* has an image on both sides"):
        deal_folds(rest, 2, 0)
    deal_folds(folder.without({f"left/{first[0]}/00.png", f"left/{second[1]}/00.png"}), 2, 0)


def test_a_file_that_cannot_be_written_is_said_before_a_fold_is_trained(drawings, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)
    words = ["cross-validate", "--data", str(drawings), "--recipe", str(recipe), "--folds", "3"]
    words += ["--set", "max_steps=1", "--store", str(tmp_path / "store")]
    assert main([*words, "--json", str(tmp_path / "absent" / "folds.json")]) == 1
    said = capsys.readouterr().err
    assert "give --json a file in a folder that exists" in said
    assert "fold 1" not in said


def test_what_is_not_used_is_said_once_each(tmp_path, capsys):
    data = tmp_path / "data"
    ours = draw_folder(data / "train", classes=6, images=3)
    draw_folder(data / "val", classes=4, images=2)
    draw_folder(data / "other", classes=2, images=2)
    (ours / "class00" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (ours / "class01" / "hollow.png").touch()
    (ours / "class02" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (ours / "class03" / "phone.heic").write_bytes(b"x")
    (ours / "loose.png").write_bytes((ours / "class00" / "00.png").read_bytes())
    recipe = write_recipe(tmp_path / "r.yaml")
    words = ["cross-validate", "--data", str(data), "--recipe", str(recipe), "--folds", "3"]
    assert main([*words, "--set", "max_steps=1", "--store", str(tmp_path / "store")]) == 0
    told = capsys.readouterr().err
    for what in (
        "class00/broken.jpg: not an image of a type that is read",
        "class01/hollow.png: not an image of a type that is read",
        "class02/gone.png: the file cannot be read",
        "not used: 1 file(s) whose names do not end as images' names do (1 .heic)",
        "not used: loose.png: lies outside of any class folder",
        "not used: val (8 images of 4 classes)",
        "not used: other\n",
    ):
        assert told.count(what) == 1, what
    assert told.index("gone.png") < told.index("fold 1 of 3")
