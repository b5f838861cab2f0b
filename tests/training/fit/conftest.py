import io
from pathlib import Path

import pytest

from tests.training.drawings import draw_folder, write_recipe
from training.cli import main
from training.data.parts import make_parts, make_split, open_sources
from training.fit.inspection import inspect
from training.progress import Reporter
from training.recipe.files import load_recipe

QUIET = ("max_steps=400",)


@pytest.fixture
def said(tmp_path):
    """The warnings for a folder of data; the small recipe, with values replaced."""

    def run(data: Path, *values: str, crossed: bool = False) -> tuple[str, ...]:
        recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml")), [*QUIET, *values])
        sources = open_sources(data, None)
        split = make_split(sources, recipe.split, recipe.seed, crossed=crossed)
        return inspect(
            make_parts(sources, split),
            recipe,
            Reporter(io.StringIO()),
            crossed=split.crossed,
            held_out=sources.holdout is not None,
        ).warnings

    return run


@pytest.fixture
def drawings(tmp_path) -> Path:
    """Ten classes to train on; six each to validate and to calibrate."""
    return draw_folder(tmp_path / "drawings", classes=22, images=5)


@pytest.fixture
def by_name(drawings):
    """The classes of a part of the drawings."""

    def run(part: str) -> list[str]:
        recipe = load_recipe(str(write_recipe(drawings.parent / "r.yaml")))
        split = make_split(open_sources(drawings, None), recipe.split, recipe.seed)
        return list(getattr(split, part))

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fit")
    draw_folder(root / "two", classes=12, images=5)
    draw_folder(root / "three", groups=12, classes=3, images=4)
    draw_folder(root / "other", groups=2, classes=3, images=4, seed=9)
    write_recipe(root / "small.yaml")
    return root


@pytest.fixture
def command(place, tmp_path):
    """`fit` with the small recipe; further arguments as given."""

    def run(*arguments: str, data: str | Path = "two", name: str = "m", recipe: bool = True) -> int:
        given = not recipe or "--recipe" in arguments
        return main(
            [
                "fit",
                "--data",
                str(place / data),
                "--name",
                name,
                "--store",
                str(tmp_path / "store"),
                "--device",
                "cpu",
                *(() if given else ("--recipe", str(place / "small.yaml"))),
                *arguments,
            ]
        )

    return run
