"""What the README and the guides show of training can be typed as it stands."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from training.commands import fit
from training.recipe.files import load_recipe, parse_recipe

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "training.md"


def blocks(language: str, path: Path = GUIDE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Of every command its words, from its name on."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = [
        line
        for page in pages
        for block in blocks("sh", page)
        # In quotes a line goes on.
        for line in re.findall(r"(?:'[^']*'|[^'\n])+", block.replace("\\\n", " "))
    ]
    typed = (re.search(r"(?:-m training|^\$T) (?=[a-z])(.*)", line, re.DOTALL) for line in lines)
    return list(dict.fromkeys(found[1] for found in typed if found))


def test_commands_of_all_kinds_are_shown():
    shown = {command.split()[0] for command in commands()}
    assert shown >= {"fit", "evaluate", "calibrate", "report", "predict", "copies"}


@pytest.mark.parametrize("command", commands())
def test_commands(command):
    name, *words = shlex.split(command, comments=True)
    module = importlib.import_module(f"training.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_arguments(parser)
    options = parser.parse_args(words)
    if getattr(options, "recipe", None) is not None:
        load_recipe(options.recipe, options.overrides)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_parts_of_recipes(text):
    whole = yaml.safe_load(
        Path(fit.__file__).parents[1].joinpath("recipes/glyphs.yaml").read_text()
    )
    parse_recipe({**whole, **yaml.safe_load(text)}, "the guide")


def test_the_settings_in_the_text():
    found = re.findall(r"--set ('[^']+'|[a-z][^\s`]*)", GUIDE.read_text(encoding="utf-8"))
    settings = [shlex.split(setting)[0] for setting in found if "=" in setting]
    settings = [setting for setting in settings if not setting.startswith("key")]
    assert len(settings) > 5
    for setting in settings:
        load_recipe("vgg16-sigmoid", [setting])
