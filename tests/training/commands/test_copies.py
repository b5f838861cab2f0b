"""`copies`, as it is typed, and that what it makes can be trained on."""

import pytest

from model_store import ModelStore
from tests.training.drawings import draw_folder, write_recipe
from training.cli import main


@pytest.fixture
def pictures(tmp_path):
    return draw_folder(tmp_path / "pictures", classes=10, images=1)


def test_pictures_without_classes_become_data_to_train_and_judge_on(pictures, tmp_path, capsys):
    out = tmp_path / "copies"
    assert main(["copies", "--data", str(pictures), "--out", str(out), "--copies", "3"]) == 0
    said = capsys.readouterr().err
    assert "10 pictures with 3 copies each" in said
    assert f"-m training fit --data {out} --name NAME" in said
    recipe = write_recipe(tmp_path / "small.yaml")
    store = tmp_path / "store"
    words = ["--data", str(out), "--store", str(store), "--device", "cpu"]
    sets = ["--set", "max_steps=2", "--set", "batches_per_step=1"]
    sets += ["--set", "data.turned_classes=false"]
    assert main(["fit", *words, "--name", "near", "--recipe", str(recipe), *sets]) == 0
    assert ModelStore(store).load("near").manifest.calibration is not None
    assert main(["evaluate", "near", *words, "--protocol", "verification"]) == 0


def test_files_that_are_no_images_are_named(pictures, tmp_path, capsys):
    (pictures / "notes.png").write_text("not an image")
    (pictures / "phone.heic").write_bytes(b"of a kind that is not read")
    words = ["copies", "--data", str(pictures), "--out", str(tmp_path / "copies")]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "1 not used:\n  notes.png: not an image" in said
    assert ".heic cannot be read: save those pictures as JPEG or PNG" in said


def test_an_edit_that_there_is_not_is_refused_with_those_there_are(pictures, tmp_path, capsys):
    words = ["copies", "--data", str(pictures), "--out", str(tmp_path / "copies")]
    with pytest.raises(SystemExit):
        main([*words, "--edits", "mirror,melt"])
    assert "'melt' is no edit; choose of blur, colours, crop" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
