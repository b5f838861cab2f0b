import io
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest

from model_store import Checkpoint, ModelStore
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


def run_fit(
    place: Path,
    store: Path,
    *arguments: str,
    data: str | Path = "two",
    name: str = "m",
    recipe: bool = True,
) -> int:
    """`fit` with the small recipe; further arguments as given."""
    words = ["--data", str(place / data), "--name", name, "--store", str(store), "--device", "cpu"]
    given = not recipe or "--recipe" in arguments
    named = () if given else ("--recipe", str(place / "small.yaml"))
    return main(["fit", *words, *named, *arguments])


@pytest.fixture
def command(place, store):
    """`run_fit` into a store of the test's own."""
    return partial(run_fit, place, store.root)


def model_of(place: Path, *arguments: str) -> tuple[Checkpoint, str, str]:
    """A model in a store that tests share, and what `fit` printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert run_fit(place, place / "fitted", *arguments) == 0
    return ModelStore(place / "fitted").load("m"), out.getvalue(), err.getvalue()
