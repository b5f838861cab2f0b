"""YAML that is legal, and still no recipe."""

import json

import pytest
import yaml

from tests.training.drawings import SMALL_RECIPE, write_recipe
from training.errors import RecipeError, TrainingError
from training.recipe.files import check_overrides, load_recipe
from training.recipe.plain import read_yaml
from training.run.folder import Run, RunRecord

NOT_WHAT_THEY_SEEM = [
    "2024-13-45",
    "9" * 5000,
    "0x" + "f" * 5000,
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
    record = RunRecord(command="fit", recipe="glyphs")
    (run.path / "run.json").write_text(record.model_dump_json())
    with pytest.raises(TrainingError, match=r"recipe\.yaml cannot be read .*--restart"):
        run.recipe()


def test_in_quotes_they_are_text():
    assert read_yaml("'2024-13-45'") == "2024-13-45"


def test_what_is_nested_too_deeply_is_refused():
    for depth in (60, 600):
        with pytest.raises(ValueError, match="nested too deeply"):
            read_yaml("[" * depth + "]" * depth)


def _laughs(lines: int, item: str) -> str:
    first = "a0: &a0 {x: 1}\n"
    return first + "".join(f"a{i}: &a{i} {item.format(f'*a{i - 1}')}\n" for i in range(1, lines))


@pytest.mark.parametrize(
    "text",
    [
        _laughs(12, "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"),
        _laughs(12, "{{<<: [{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]}}"),
        "a: &a [1, *a]",
        "a: &a {b: {<<: *a}}",
    ],
)
def test_aliases_of_aliases_do_not_grow_without_end(tmp_path, text):
    with pytest.raises(RecipeError, match=r"aliases written out .* 100,000 values"):
        load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE + text)))
    with pytest.raises(RecipeError, match=r"aliases written out .* 100,000 values"):
        load_recipe("glyphs", [f"loss.options={{{', '.join(text.splitlines())}}}"])


def test_an_alias_is_a_copy_of_its_own():
    content = read_yaml("a: &a {x: [1]}\nb: *a\nc: {<<: *a, y: 2}")
    content["a"]["x"].append(2)
    assert content == {"a": {"x": [1, 2]}, "b": {"x": [1]}, "c": {"x": [1], "y": 2}}


def test_what_json_escapes_in_two_halves_is_one_character(tmp_path):
    content = {**yaml.safe_load(SMALL_RECIPE), "description": "Tells shoes apart \U0001f45f"}
    recipe = load_recipe(str(write_recipe(tmp_path / "r.json", json.dumps(content))))
    assert recipe.description == "Tells shoes apart \U0001f45f"
    assert recipe.model_dump_json().encode()
    assert read_yaml(json.dumps({"\U0001f45f": ["\ufeff\U0001f45f"]})) == {
        "\U0001f45f": ["\ufeff\U0001f45f"]
    }


@pytest.mark.parametrize("half", [r"\ud800", r"\udc5f\ud83d", r"a\udfff"])
def test_half_a_character_is_refused_where_it_is(tmp_path, half):
    with pytest.raises(RecipeError, match=r"--set description=.* the text has an escaped half"):
        check_overrides("glyphs", [f'description="{half}"'])
    text = f'{SMALL_RECIPE}more: {{inner: [1, "{half}"]}}\n'
    with pytest.raises(RecipeError, match=r"r\.yaml cannot be read: more\.inner\.1: .* half"):
        load_recipe(str(write_recipe(tmp_path / "r.yaml", text)))
    with pytest.raises(ValueError, match="half"):
        read_yaml(f'{{"{half}": 1}}')


def test_nothing_and_bytes():
    assert read_yaml("") is None
    assert read_yaml("ä: [1, x]".encode()) == {"ä": [1, "x"]}
