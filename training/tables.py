"""A recipe, and what comes of it, as tables of plain text."""

import io
from collections.abc import Iterable, Iterator, Sequence

from pydantic import JsonValue
from rich import box
from rich.console import Console
from rich.table import Table

from training.recipe import Recipe

_WIDTH = 100


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under headings, as text of at most 100 columns.

    Args:
        title: Stands above.
        headings: Of the columns; all empty for none.
        rows: As many cells each as there are headings.
    """
    made = Table(*headings, box=box.SIMPLE_HEAD, show_header=any(headings))
    for row in rows:
        made.add_row(*(cell.replace("[", r"\[") for cell in row))
    text = io.StringIO()
    Console(file=text, width=_WIDTH, color_system=None, legacy_windows=False).print(made)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join([title, *(line for line in lines if line)])


def recipe_table(recipe: Recipe, name: str) -> str:
    """Every value of a recipe, defaults included, by the key that `--set` takes."""
    rows = list(_flat("", recipe.model_dump(mode="json")))
    return table(f"recipe '{name}'", ("key", "value"), rows)


def short_table(recipe: Recipe, name: str) -> str:
    """What a person wants to see before a training begins."""
    seen = recipe.preprocessing
    length = [
        *([f"{recipe.epochs:g} epochs"] if recipe.epochs is not None else []),
        *([f"{recipe.max_steps:,} steps"] if recipe.max_steps is not None else []),
    ]
    checks = recipe.validation
    rows = [
        ("network", " | ".join(branch.backbone for branch in recipe.network.branches)),
        ("comparator", _part(recipe.network.comparator.model_dump(mode="json"))),
        ("input", f"{seen.mode} {seen.height}x{seen.width}, {seen.resize}"),
        ("sampling", _part(recipe.sampling.model_dump(mode="json"))),
        ("augmentation", _part(recipe.augmentation.model_dump(mode="json"))),
        ("loss", _part(recipe.loss.model_dump(mode="json"))),
        ("optimiser", f"{recipe.optimiser.name}, learning rate {recipe.optimiser.learning_rate:g}"),
        ("schedule", f"{recipe.schedule.name}, warm-up {recipe.schedule.warm_up:g}"),
        ("batch", f"{recipe.batch} x {recipe.batches_per_step} a step"),
        ("length", " or ".join(length)),
        ("validation", f"{checks.times} times, keeps the {checks.keep}"),
        ("precision", recipe.precision),
        ("seed", str(recipe.seed)),
    ]
    return table(f"recipe '{name}'", ("", ""), rows)


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
