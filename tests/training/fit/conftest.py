import io
from pathlib import Path

import pytest

from tests.training.drawings import draw_folder, write_recipe
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
