"""Figures and rules in words."""

import pytest

from model_store.metric import Metric
from model_store.preprocessing import Preprocessing
from tests.training.scored import calibration
from training.report.words import (
    decision_rule,
    input_of,
    interval_in,
    range_of,
    rate_in,
    what_that_costs,
)


def plain(text: str) -> str:
    """The text with ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_intervals():
    assert range_of(None) == "–"
    assert " " not in range_of((0.012, 0.5)), "no line breaks in it"
    assert plain(range_of((0.012, 0.5))) == "1.2 % – 50 %"


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({"far_interval": [0.1, 0.2], "interval": [0.3, 0.4]}, (0.1, 0.2)),
        ({"frr_interval": [0.1, 0.2], "interval": [0, 1]}, (0, 1)),
        ({"frr_interval": [0.1, 0.2]}, None),
        ({"far_interval": None}, None),
        ({"far_interval": [0.1]}, None),
        ({"far_interval": ["a", "b"]}, None),
    ],
)
def test_the_interval_of_a_figure(figures, found):
    assert interval_in(figures, "far") == found


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"far": 0.125, "frr": 0.5, "far_interval": [0.1, 0.25]}, "12.5 % (10 % – 25 %)"),
        ({"far": 0.125, "frr_interval": [0.1, 0.25]}, "12.5 %"),
        ({"frr": 0.5}, "–"),
    ],
)
def test_a_rate_and_its_interval(figures, told):
    assert plain(rate_in(figures, "far")) == told


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        (Metric.COSINE_SIMILARITY, "their cosine similarity is at least 0.25,"),
        (Metric.SIGMOID_SIMILARITY, "their sigmoid similarity is at least 0.25,"),
        (Metric.EUCLIDEAN_DISSIMILARITY, "their Euclidean dissimilarity is at most 0.25,"),
    ],
)
def test_what_is_called_the_same(metric, rule):
    own = calibration(threshold=0.25).model_copy(update={"target_far": 0.02})
    told = decision_rule(metric, own)
    assert f"called the same where {rule} and different otherwise" in told
    assert "let in at most 2 % of pairs of two classes" in told


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        (Metric.COSINE_SIMILARITY, "a cosine similarity, the higher the more alike"),
        (Metric.EUCLIDEAN_DISSIMILARITY, "a Euclidean dissimilarity, the lower the more alike"),
    ],
)
def test_a_model_that_decides_nothing(metric, scores):
    told = decision_rule(metric, None)
    assert scores in told
    assert "training calibrate NAME --data DIR --far 0.01" in told


def test_what_a_threshold_costs():
    own = calibration(prior=0.25).model_copy(
        update={
            "far": 0.01,
            "far_interval": (0.005, 0.03),
            "frr": 0.2,
            "frr_interval": (0.1, 0.4),
            "classes": 3,
            "genuine_pairs": 7,
            "impostor_pairs": 1_009,
        }
    )
    assert plain(what_that_costs(own)) == (
        "On the 1,009 impostor and 7 genuine pairs of 3 classes that it was chosen on, it let in "
        "1 % of the impostors and refused 20 % of the genuine pairs; of as many other classes it "
        "should, with 95 % confidence, let in 0.5 % – 3 % and refuse 10 % – 40 %. Probabilities "
        "assume that 25 % of all pairs are genuine."
    )


@pytest.mark.parametrize(
    ("mode", "resize", "told"),
    [
        ("RGB", "letterbox", "40 × 30 pixels, colour; images are shrunk or grown whole"),
        ("L", "stretch", "40 × 30 pixels, grey; images are stretched"),
        ("L", "crop", "40 × 30 pixels, grey; images are cut to the input's shape"),
    ],
)
def test_what_a_network_sees(mode, resize, told):
    channels = 3 if mode == "RGB" else 1
    values = {"mean": (0.5,) * channels, "std": (0.5,) * channels}
    spec = Preprocessing(height=30, width=40, mode=mode, resize=resize, **values)
    assert input_of(spec).startswith(told)
