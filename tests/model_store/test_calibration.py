import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.calibration import LogisticCurve, evidence
from model_store.metric import Metric
from tests.model_store.test_store import CALIBRATION


def test_the_curve_by_hand():
    curve = LogisticCurve(slope=2.0, intercept=-1.0)
    assert curve.probability(0.5).item() == pytest.approx(0.5)
    assert curve.probability(1.0).item() == pytest.approx(1 / (1 + math.exp(-1)))


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_more_evidence_never_means_less_probable(slope, intercept, start, step):
    low, high = LogisticCurve(slope=slope, intercept=intercept).probability([start, start + step])
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("metric", Metric)
def test_evidence_points_towards_alike(metric: Metric):
    scores = np.linspace(0, 1, 11)
    steps = np.diff(evidence(scores, metric))
    assert (steps > 0).all() if metric.higher_is_alike else (steps < 0).all()


def test_saturated_sigmoids_stay_finite():
    assert np.isfinite(evidence([0.0, 1.0], Metric.SIGMOID_SIMILARITY)).all()


def test_the_threshold_itself_is_the_same():
    at = CALIBRATION.threshold
    assert CALIBRATION.same(at, Metric.EUCLIDEAN_DISSIMILARITY)
    assert CALIBRATION.same(at, Metric.COSINE_SIMILARITY)
    assert not CALIBRATION.same(at + 1e-9, Metric.EUCLIDEAN_DISSIMILARITY)
    assert not CALIBRATION.same(at - 1e-9, Metric.COSINE_SIMILARITY)
    assert not CALIBRATION.same(math.nan, Metric.COSINE_SIMILARITY)
