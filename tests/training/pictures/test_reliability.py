"""The reliability diagram."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.training.scored import calibration, scored
from training.evaluation.protocols.verification import probability_error
from training.pictures import chart
from training.pictures.reliability import reliability, reliability_png


def logit(probability):
    return float(np.log(probability / (1 - probability)))


def test_by_hand():
    # Two bins: below one half an impostor and a genuine pair, above it a genuine pair.
    pairs = scored([logit(0.4), logit(0.9)], [logit(0.2)])
    found = reliability(pairs, calibration(), bins=2)
    assert found.genuine.tolist() == [1, 1]
    assert found.impostor.tolist() == [1, 0]
    # The impostor weighs a half, each genuine pair a quarter.
    assert found.promised == pytest.approx([(0.25 * 0.4 + 0.5 * 0.2) / 0.75, 0.9])
    assert found.found == pytest.approx([1 / 3, 1])
    assert found.error == pytest.approx(0.75 * (1 / 3 - 0.2 / 0.75) + 0.25 * 0.1)


@pytest.mark.parametrize("prior", [0.5, 0.1])
def test_the_error_is_the_one_that_evaluation_gives(prior):
    generator = np.random.default_rng(0)
    pairs = scored(generator.normal(1, 2, 400), generator.normal(-1, 2, 900))
    found = reliability(pairs, calibration(prior=prior))
    assert found.error == pytest.approx(probability_error(pairs, calibration(prior=prior)))
    there = np.isfinite(found.found)
    assert (found.low[there] <= found.found[there] + 1e-12).all()
    assert (found.found[there] <= found.high[there] + 1e-12).all()
    assert (found.genuine.sum(), found.impostor.sum()) == (400, 900)


def test_empty_bins_have_no_share():
    found = reliability(scored([50.0], [-50.0]), calibration())
    assert np.isnan(found.found[1:-1]).all()
    assert (found.found[0], found.found[-1], found.error) == (0, 1, pytest.approx(0))


@pytest.mark.parametrize("scores", [([1.0], [0.0]), ([50.0], [-50.0]), ([0.0], [0.0])])
def test_is_drawn(scores):
    image = Image.open(io.BytesIO(reliability_png(scored(*scores), calibration(), "m")))
    assert (image.format, image.size) == ("PNG", (900, 820))


@pytest.mark.parametrize(("impostors", "expected"), [(2, {"1", "2"}), (3000, {"1", "10", "1,000"})])
def test_numbers_of_pairs_are_told_as_numbers(monkeypatch, impostors, expected):
    drawn = []
    monkeypatch.setattr(chart, "to_png", lambda figure: drawn.append(figure) or b"")
    reliability_png(scored([1.0], [0.0] * impostors), calibration(), "m")
    drawn[0].draw_without_rendering()
    axes = drawn[0].axes[1]
    low, high = axes.get_ylim()
    told = {
        text.get_text()
        for text in axes.get_yticklabels(which="both")
        if text.get_text() and low <= text.get_position()[1] <= high
    }
    assert expected <= told
    assert all(text.replace(",", "").isdigit() for text in told)
