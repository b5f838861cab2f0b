"""`python -m training fit` as typed: what it says and writes beyond the model."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml

from model_store.shipped import SHIPPED
from model_store.store import ModelStore
from tests.training import small
from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from tests.training.report.test_html import read
from tests.training.undrawing import without_pictures
from training.cli import main
from training.commands import report
from training.commands.fit import _command, _report_words, _summary, add_arguments
from training.report.html import Html
from training.report.located import places_in


def recipe(path, sides):
    content = yaml.safe_load(SMALL_RECIPE)
    content["network"]["branches"] *= sides
    content["sampling"] = {"name": "balanced-pairs"}
    content["loss"] = {"name": "contrastive", "options": {"margin": 1.0}}
    content["data"]["turned_classes"] = False
    return write_recipe(path, yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize(("sides", "steps"), [(2, 6), (1, 6), (1, 0)])
def test_the_report_that_is_suggested_is_of_the_pairs_that_the_console_told_of(
    tmp_path, capsys, sides, steps
):
    draw_folder(tmp_path / "photos", classes=9, images=4)
    draw_folder(tmp_path / "shop", classes=9, images=1, seed=1)
    words = ["--store", str(tmp_path / "store"), "--device", "cpu"]
    command = ["fit", "--data", str(tmp_path / "photos"), "--right", str(tmp_path / "shop")]
    command += ["--name", "m", "--recipe", str(recipe(tmp_path / "r.yaml", sides)), *words]
    page = tmp_path / "m.html"
    with without_pictures():
        assert main([*command, "--set", f"max_steps={steps}"]) == 0
        suggested = capsys.readouterr().out.splitlines()[-1]
        _, _, _, *again = shlex.split(suggested)
        assert main([*again, "--device", "cpu", "--out", str(page)]) == 0
    text = read(Html(page.read_text(encoding="utf-8"))).text
    assert "names that the model was trained on" not in text
    manifest = ModelStore(tmp_path / "store").manifest("m")
    assert (manifest.provenance.recipe["max_steps"] == 0) == (steps == 0)
    kept = manifest.evaluations[0]
    assert f"AUC{kept.figures['auc']:.4f}" in text
    assert text.count(f"genuine pairs{kept.figures['genuine_pairs']:,}") == 2


@pytest.mark.parametrize("steps", [0, 6])
def test_a_card_shows_the_pictures_that_are_beside_it(tmp_path, steps):
    draw_folder(tmp_path / "photos", classes=9, images=4)
    command = ["fit", "--data", str(tmp_path / "photos"), "--name", "m", "--device", "cpu"]
    command += ["--recipe", str(recipe(tmp_path / "r.yaml", 1)), "--store", str(tmp_path / "store")]
    assert main([*command, "--set", f"max_steps={steps}"]) == 0
    folder = ModelStore(tmp_path / "store").find("m").path
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (folder / "card.md").read_text())
    assert "roc.png" in shown
    assert ("curves.png" in shown) == (steps > 0)
    assert all((folder / name).is_file() for name in shown)


def test_commands_that_are_suggested_can_be_typed_whatever_paths_begin_with():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = ["--data=-d", "--name", "n", "--right=-r", "--store=-s", "--recipe=-x", "--seed", "1"]
    options = parser.parse_args([*given, "--holdout=--h", "--tensorboard=-t"])
    words = _command(options)
    assert parser.parse_args(words[words.index("fit") + 1 :]) == options
    assert places_in(shlex.join(words)) == {
        "--data": Path("-d"),
        "--holdout": Path("--h"),
        "--right": Path("-r"),
    }
    reported = argparse.ArgumentParser()
    report.add_arguments(reported)
    found = reported.parse_args(_report_words(options))
    assert (found.data, found.right, found.store) == (Path("--h"), Path("-r"), Path("-s"))


def test_what_calibrates_a_model_that_is_not_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = ModelStore(Path("-s"))
    suggested = _summary(store, store.save("m", small.network())).splitlines()[1]
    command = suggested.partition("-m ")[2]
    assert command == "training calibrate m --store=-s --data DIR --far 0.01"


def test_a_model_that_has_become_the_default_is_said_to_answer(tmp_path):
    store = ModelStore(tmp_path)
    answers = "  it answers now where a request names no model (to have another do so: "
    for name, told in (("first", True), ("second", False)):
        lines = _summary(store, store.save(name, small.network())).splitlines()
        assert any(line.startswith(answers) for line in lines) is told


@pytest.mark.parametrize(
    ("of_the_shell", "given", "named"),
    [
        (None, [], None),
        (None, ["--store", str(SHIPPED)], None),
        (None, ["--store", "mine"], "mine"),
        ("theirs", [], "theirs"),
        ("theirs", ["--store", str(SHIPPED)], str(SHIPPED)),
    ],
)
def test_commands_that_are_suggested_name_a_store_that_is_not_found_without(
    monkeypatch, of_the_shell, given, named
):
    if of_the_shell is None:
        monkeypatch.delenv("TWINLENS_MODEL_STORE", raising=False)
    else:
        monkeypatch.setenv("TWINLENS_MODEL_STORE", of_the_shell)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["--data", "d", "--name", "n", *given])
    for words in (_command(options), _report_words(options)):
        assert words[words.index("n") :].count("--store") == (named is not None)
        assert named is None or words[words.index("--store") + 1] == named
