"""A recipe as a table of plain text."""

from collections.abc import Iterator

from pydantic import JsonValue

from training.recipe.recipe import Recipe
from training.tables import table

_KEPT = {
    "last": "the last weights",
    "best": "the best weights",
    "both": "the last weights and the best",
    "every": "the weights of each time",
}


def recipe_table(recipe: Recipe, name: str) -> str:
    """Every value of a recipe, defaults included, by the key that `--set` takes."""
    rows = list(_flat("", recipe.model_dump(mode="json")))
    return table(f"recipe '{name}'", ("key", "value"), rows)


def short_table(recipe: Recipe, name: str, *, validates: bool = True) -> str:
    """What a person wants to see before a training begins, or is told that none will be.

    Args:
        recipe: What is told of.
        name: What it is called.
        validates: Whether there are classes to validate on.
    """
    seen = recipe.preprocessing
    training = [("length", "nothing is trained")]
    if recipe.max_steps != 0:
        training = _training(recipe, validates=validates and recipe.validation.times > 0)
    rows = [
        ("network", " | ".join(branch.backbone for branch in recipe.network.branches)),
        ("comparator", _part(recipe.network.comparator.model_dump(mode="json"))),
        ("input", f"{seen.mode} {seen.height}x{seen.width}, {seen.resize}"),
        *training,
        ("precision", recipe.precision),
        ("seed", str(recipe.seed)),
    ]
    return table(f"recipe '{name}'", ("", ""), rows)


def _training(recipe: Recipe, *, validates: bool) -> list[tuple[str, str]]:
    length = [
        *([f"{recipe.epochs:g} epochs"] if recipe.epochs is not None else []),
        *([f"{recipe.max_steps:,} steps"] if recipe.max_steps is not None else []),
    ]
    checks, watched = recipe.validation, f"none, keeps {_KEPT['last']}"
    if validates:
        watched = f"{checks.times} times, keeps {_KEPT[checks.keep]}"
    return [
        ("sampling", _part(recipe.sampling.model_dump(mode="json"))),
        ("augmentation", _part(recipe.augmentation.model_dump(mode="json"))),
        ("loss", _part(recipe.loss.model_dump(mode="json"))),
        ("optimiser", f"{recipe.optimiser.name}, learning rate {recipe.optimiser.learning_rate:g}"),
        ("schedule", f"{recipe.schedule.name}, warm-up {recipe.schedule.warm_up:g}"),
        ("batch", f"{recipe.batch} x {recipe.batches_per_step} a step"),
        ("length", " or ".join(length) + ", whichever is shorter" * (len(length) > 1)),
        ("validation", watched),
    ]


def _part(part: dict[str, JsonValue]) -> str:
    options = part.get("options") or {}
    if not isinstance(options, dict):
        return str(part["name"])
    return " ".join([str(part["name"]), *(f"{key}={value}" for key, value in options.items())])


def _flat(key: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else name, inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for position, inner in enumerate(value):
            yield from _flat(f"{key}.{position}", inner)
    else:
        yield key, "" if value is None else str(value)
