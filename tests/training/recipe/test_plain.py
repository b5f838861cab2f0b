"""YAML that is legal, and still no recipe."""

import pytest

from tests.training.drawings import SMALL_RECIPE, write_recipe
from training.errors import RecipeError, TrainingError
from training.recipe.files import check_overrides, load_recipe
from training.recipe.plain import read_yaml
from training.run.folder import Run

NOT_WHAT_THEY_SEEM = [
    "2024-13-45",
    "9" * 5000,
    "!!int ''",
    "!!float abc",
    "!!bool abc",
    "!!timestamp abc",
    "1" + ":1" * 200 + ".5",
    "{!!timestamp abc : 1}",
]


@pytest.mark.parametrize("text", NOT_WHAT_THEY_SEEM)
def test_a_value_that_is_not_what_it_is_written_as_is_refused(tmp_path, text):
    with pytest.raises(RecipeError, match=r"--set seed=.* cannot be read as .*put it in quotes"):
        check_overrides("glyphs", [f"seed={text}"])
    lines = SMALL_RECIPE.count("\n")
    with pytest.raises(RecipeError, match=rf"r\.yaml cannot be read.*\n.* line {lines + 1}, "):
        load_recipe(str(write_recipe(tmp_path / "r.yaml", f"{SMALL_RECIPE}more: {text}\n")))
    run = Run(tmp_path, "m")
    run.path.mkdir(parents=True)
    (run.path / "recipe.yaml").write_text(f"seed: {text}\n")
    with pytest.raises(TrainingError, match=r"recipe\.yaml cannot be read .*--restart"):
        run.recipe()


def test_in_quotes_they_are_text():
    assert read_yaml("'2024-13-45'") == "2024-13-45"


def test_what_is_nested_too_deeply_is_refused():
    with pytest.raises(ValueError, match="nested too deeply"):
        read_yaml("[" * 600)


def test_nothing_and_bytes():
    assert read_yaml("") is None
    assert read_yaml("ä: [1, x]".encode()) == {"ä": [1, "x"]}
