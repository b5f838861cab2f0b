"""What a history says: collapsed, or not, or too early to tell."""

import math
from dataclasses import replace

import pytest

from training.guard.collapse import Looks, Symptom, find_collapse
from training.history import Row
from training.recipe import Guard

LN2 = math.log(2)


def row(step: int, loss: float = 0.3, **seen: float) -> Row:
    return Row(step, step / 10, 1.0, 0.1, loss, 100.0, **seen)


def look(step: int, loss: float = 0.3, **seen: float) -> Row:
    found = {"auc": 0.9, "eer": 0.1, "spread": 0.9, "cosine": 0.2, "collapsed_loss": LN2}
    found |= {"genuine_distance": 0.4, "impostor_distance": 1.2}
    return row(step, loss, **(found | seen))


def looks(images: int = 1000, **guard: object) -> Looks:
    return Looks(Guard(**guard), 1000, images, "validation images")


def symptom(*rows: Row, of: Looks | None = None) -> Symptom | None:
    found = find_collapse(rows, of or looks())
    return None if found is None else found.symptom


def test_a_healthy_run():
    assert symptom(look(500)) is None
    assert symptom() is None
    assert symptom(row(500, LN2)) is None


def test_no_spread():
    gone = look(500, spread=2e-4, auc=0.6, cosine=0.99999)
    assert symptom(gone) is Symptom.SPREAD
    assert "2.0e-04" in find_collapse([gone], looks()).text
    assert symptom(replace(gone, auc=0.95)) is None
    assert symptom(replace(gone, auc=0.74)) is Symptom.SPREAD
    assert symptom(replace(gone, auc=0.76)) is None, "what is left still tells classes apart"
    assert symptom(replace(gone, spread=0.01)) is None


@pytest.mark.parametrize(("share", "stands"), [(1.0, True), (0.995, True), (1.04, True)])
def test_the_loss_where_it_is_when_collapsed(share, stands):
    assert symptom(look(500, share * LN2, auc=0.62)) is Symptom.LOSS


@pytest.mark.parametrize("share", [0.98, 0.5, 1.06])
def test_the_loss_elsewhere(share):
    assert symptom(look(500, share * LN2, auc=0.62)) is None


def test_the_loss_there_while_pairs_are_told_apart():
    assert symptom(look(500, LN2, auc=0.7)) is None
    assert symptom(look(500, LN2, auc=0.62, collapsed_loss=None)) is None


def test_the_loss_is_the_mean_since_the_last_look():
    near = look(500, LN2, auc=0.62)
    assert symptom(look(300, 5.0), row(400, LN2), near) is Symptom.LOSS
    assert symptom(look(300, 5.0), row(400, LN2 * 0.9), near) is None
    # 190 steps of 0.9 outweigh 10 steps of 1
    assert symptom(look(300, 5.0), row(490, LN2 * 0.9), near) is None
    assert symptom(look(300, 5.0), row(310, LN2 * 0.9), near) is Symptom.LOSS


def test_a_loss_that_stands_still_needs_no_pairs_that_are_mixed_up():
    """Distances can keep their order while they shrink to nothing."""
    still = [row(step, LN2 * 1.004) for step in range(410, 500, 10)]
    assert symptom(look(400), *still, look(500, LN2 * 0.996)) is Symptom.LOSS
    assert symptom(look(400), *still, row(495, LN2 * 1.006), look(500, LN2)) is None
    assert symptom(look(400), *still[:3], look(500, LN2)) is None


def test_by_chance():
    assert symptom(look(500, auc=0.5)) is Symptom.CHANCE
    assert symptom(look(500, auc=0.3)) is Symptom.CHANCE
    assert symptom(look(500, auc=0.61)) is None


def test_few_images_prove_nothing():
    assert symptom(look(500, auc=0.5), of=looks(images=60)) is None
    assert symptom(look(500, auc=0.5), of=looks(images=200)) is Symptom.CHANCE


def test_images_trained_on_serve_where_none_validate():
    assert symptom(look(500, auc=None, eer=None, train_auc=0.5)) is Symptom.CHANCE


def test_not_before_its_time():
    assert symptom(look(299, auc=0.5)) is None
    assert symptom(look(300, auc=0.5)) is Symptom.CHANCE
    assert symptom(look(400, auc=0.5), of=looks(after=0.5)) is None
    assert symptom(look(400, auc=0.5), of=looks(least_steps=401)) is None
