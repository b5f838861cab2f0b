"""What the guardian writes into a history, and what a run is remembered for."""

from pathlib import Path

import pytest

from tests.training.drawings import SMALL_RECIPE, write_recipe
from tests.training.guard.test_collapse import look, looks, row
from training.guard.closeness import Closeness
from training.guard.guardian import Guardian, collapses
from training.recipe.files import load_recipe


@pytest.mark.parametrize(
    ("before", "stretch"),
    [
        ((), (0, 29)),
        ((row(10), row(20)), (0, 29)),
        ((look(10), row(20)), (10, 29)),
        ((look(10), look(20), row(25)), (20, 29)),
    ],
)
def test_the_loss_is_asked_about_since_the_last_look(tmp_path, before, stretch):
    asked: list[tuple[int, int]] = []

    def collapsed_loss(first: int, last: int) -> float:
        asked.append((first, last))
        return 0.7

    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)))
    guardian = Guardian(recipe, looks(), collapsed_loss, print, Path("runs"))
    noted = guardian.noted(row(30), Closeness(0.1, 0.2, 0.3, 0.4), before)
    assert asked == [stretch]
    assert (noted.genuine_distance, noted.impostor_distance) == (0.1, 0.2)
    assert (noted.spread, noted.cosine, noted.collapsed_loss) == (0.3, 0.4, 0.7)


def test_a_run_is_remembered_for_its_last_collapse():
    history = (look(300, auc=0.5), look(400), look(500, auc=0.4), look(600))
    (told,) = collapses(history, looks())
    assert "collapsed at step 500" in told
    assert "AUC 0.400" in told
    assert collapses(history[1:2], looks()) == ()
