"""What docs/training.md shows can be typed as it stands."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml

from training.commands import fit
from training.recipe.files import load_recipe, parse_recipe

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if "-m training fit" in line]


@pytest.mark.parametrize("command", commands())
def test_commands(command):
    words = shlex.split(command)
    parser = argparse.ArgumentParser(exit_on_error=False)
    fit.add_arguments(parser)
    options = parser.parse_args(words[words.index("fit") + 1 :])
    if options.recipe is not None:
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
