"""Reading recipes: from YAML, by name or path, with single values replaced."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from training.errors import RecipeError
from training.recipe.plain import read_yaml
from training.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
"""The folder of the recipes that come with Twinlens."""


def recipe_names() -> list[str]:
    """The recipes that come with Twinlens."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str, overrides: Sequence[str] = (), *, chosen: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        name: One of `recipe_names()`, or the path of a YAML file.
        overrides: `key.sub=value` each, the value in YAML. Setting the `name` of a part to
            another one drops the options it had, which belong to the old one, and none of those
            that are set here, before it or after.
        chosen: Overrides that go with the recipe, and that `overrides` are put on top of.

    Raises:
        RecipeError: No such recipe; not YAML; or not a valid recipe, in which case the message
            names the key.
    """
    path = _find(name)
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe {path} is not a table of keys and values; see {RECIPES}")
    for override in (*chosen, *_names_first(overrides)):
        _override(content, override)
    return parse_recipe(content, f"recipe '{name}'")


def check_overrides(name: str, overrides: Sequence[str]) -> None:
    """Refuses what no recipe could take, before it takes minutes to choose one.

    What a recipe says of its keys together is not held against the overrides: the recipe that is
    chosen may say something else.

    Args:
        name: Any recipe.
        overrides: As `load_recipe` takes them.

    Raises:
        RecipeError: One has no such key, cannot be read, or has a value that its key cannot have.
    """
    try:
        load_recipe(name, overrides)
    except RecipeError as error:
        cause = error.__cause__
        together = isinstance(cause, RecipeError) or (
            isinstance(cause, ValidationError)
            and all(problem["type"] == "value_error" for problem in cause.errors())
        )
        if not together:
            raise


def parse_recipe(content: object, where: str) -> Recipe:
    """Checks a recipe's content.

    Args:
        content: As YAML has it.
        where: What to call it in messages.

    Raises:
        RecipeError: It is not valid.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(
            f"{where}: " + "; ".join(_explained(problem) for problem in error.errors())
        ) from error
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error


def to_yaml(recipe: Recipe) -> bytes:
    """The whole recipe, defaults included, as a file that `load_recipe` reads."""
    content = recipe.model_dump(mode="json")
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def _find(name: str) -> Path:
    if name in recipe_names():
        return RECIPES / f"{name}.yaml"
    path = Path(name)
    try:
        there = path.is_file()
    except OSError as error:
        raise RecipeError(
            f"no recipe can be read at {name} ({error.strerror}); give one of "
            f"{', '.join(recipe_names())}, or the path of a YAML file"
        ) from error
    if there:
        return path
    near = difflib.get_close_matches(name, recipe_names(), 1)
    raise RecipeError(
        f"no recipe is called '{name}'"
        + (f"; did you mean '{near[0]}'?" if near else "")
        + f" (recipes: {', '.join(recipe_names())}; or give the path of a YAML file)"
    )


def _path(override: str) -> list[str]:
    return override.partition("=")[0].strip().split(".")


def _names_first(overrides: Sequence[str]) -> list[str]:
    """The same, the name of a part before options of it, which it would drop."""
    ordered: list[str] = []
    for override in overrides:
        *part, last = _path(override)
        place = len(ordered)
        if last == "name":
            for position, other in reversed(list(enumerate(map(_path, ordered)))):
                if other == part[: len(other)]:
                    break  # All that was said of the part before is replaced by this.
                if other[: len(part) + 1] == [*part, "options"]:
                    place = position
        ordered.insert(place, override)
    return ordered


def _override(content: dict[str, Any], override: str) -> None:
    _, equals, text = override.partition("=")
    path = _path(override)
    if not equals or not all(path):
        raise RecipeError(f"--set {override}: write it as key=value or key.sub=value")
    try:
        value = read_yaml(text)
    except ValueError as error:
        raise RecipeError(f"--set {override}: the value cannot be read as YAML: {error}") from error
    if isinstance(value, str):
        value = _number(value)
    if len(path) > 1 and content.get(path[0]) is None:
        content[path[0]] = _left_out(path[0])
    table: object = content
    for part in path[:-1]:
        table = _entered(table, part, override)
    last = path[-1]
    if isinstance(table, list):
        table[_position(table, last, override)] = value
    elif isinstance(table, dict):
        if last == "name" and table.get("name") != value:
            table.pop("options", None)
        table[last] = value
    else:
        raise RecipeError(f"--set {override}: {'.'.join(path[:-1])} is a value, not a section")


def _left_out(key: str) -> dict[str, Any]:
    """What a section is that a recipe leaves out, as far as it differs from an empty one."""
    field = Recipe.model_fields.get(key)
    default = None if field is None else field.default
    return default.model_dump(exclude_unset=True) if isinstance(default, BaseModel) else {}


def _entered(table: object, part: str, override: str) -> object:
    if isinstance(table, list):
        return table[_position(table, part, override)]
    if isinstance(table, dict):
        if table.get(part) is None:
            table[part] = {}
        return table[part]
    raise RecipeError(f"--set {override}: what '{part}' is looked for in is a value, not a section")


def _position(table: list[Any], part: str, override: str) -> int:
    if part.isdecimal() and int(part) < len(table):
        return int(part)
    raise RecipeError(f"--set {override}: '{part}' must be a position from 0 to {len(table) - 1}")


def _number(text: str) -> str | float:
    """YAML 1.1 takes 1e-3 for a string; nobody who types it means one."""
    try:
        return float(text)
    except ValueError:
        return text


def _explained(problem: ErrorDetails) -> str:
    where = [str(part) for part in problem["loc"]]
    key = ".".join(where)
    if problem["type"] == "extra_forbidden":
        known = _fields(where[:-1])
        near = difflib.get_close_matches(where[-1], known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{key}: no such key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: missing; set it"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _fields(where: Sequence[str]) -> list[str]:
    """The keys that a section of a recipe may have."""
    model: Any = Recipe
    for part in where:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[part].annotation
            model = next(
                (
                    inner
                    for inner in getattr(model, "__args__", ())
                    if isinstance(inner, type) and issubclass(inner, BaseModel)
                ),
                model,
            )
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
