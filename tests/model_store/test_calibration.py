import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from model_store.calibration import (
    BetaCurve,
    Calibration,
    Curve,
    IsotonicCurve,
    LogisticCurve,
    ScoreDistribution,
    evidence,
)
from model_store.metric import Metric
from tests.model_store.test_store import CALIBRATION


def test_the_curve_by_hand():
    curve = LogisticCurve(slope=2.0, intercept=-1.0)
    assert curve.probability(0.5).item() == pytest.approx(0.5)
    assert curve.probability(1.0).item() == pytest.approx(1 / (1 + math.exp(-1)))


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_more_evidence_never_means_less_probable(slope, intercept, start, step):
    low, high = LogisticCurve(slope=slope, intercept=intercept).probability([start, start + step])
    assert 0 < low <= high < 1


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1e3),
    st.floats(-1e3, 1e3),
    st.floats(-1e4, 1e4),
    st.floats(0, 1e4),
)
def test_beta_curves_never_fall(low, width, rise, fall, intercept, start, step):
    curve = BetaCurve(low=low, high=low + width, rise=rise, fall=fall, intercept=intercept)
    first, second = curve.probability([start, start + step])
    assert 0 < first <= second < 1


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-50, 50)), min_size=1, max_size=9),
    st.floats(-2e4, 2e4),
    st.floats(0, 1e4),
)
def test_isotonic_curves_never_fall(knots, start, step):
    at = sorted({x for x, _ in knots})
    logits = sorted(y for _, y in knots)[: len(at)]
    curve = IsotonicCurve(evidence=tuple(at), logits=tuple(logits))
    first, second = curve.probability([start, start + step])
    assert 0 < first <= second < 1


def test_the_beta_curve_by_hand():
    """u = (0.2 − (−1)) / 2 = 0.6."""
    curve = BetaCurve(low=-1, high=1, rise=2, fall=3, intercept=0.5)
    logit = 2 * math.log(0.6) - 3 * math.log(0.4) + 0.5
    assert curve.probability(0.2).item() == pytest.approx(1 / (1 + math.exp(-logit)))


def test_the_isotonic_curve_by_hand():
    """A quarter of the way from logit −2 to 2 is −1; beyond the knots it is level."""
    curve = IsotonicCurve(evidence=(0.0, 4.0), logits=(-2.0, 2.0))
    expected = [1 / (1 + math.exp(-logit)) for logit in (-2, -1, 2)]
    assert curve.probability([-9.0, 1.0, 9.0]) == pytest.approx(expected)


@pytest.mark.parametrize(
    "content",
    [
        {"method": "isotonic", "evidence": [0, 0], "logits": [1, 2]},
        {"method": "isotonic", "evidence": [0, 1], "logits": [2, 1]},
        {"method": "isotonic", "evidence": [0, 1], "logits": [2]},
        {"method": "beta", "low": 1, "high": 1, "rise": 1, "fall": 1, "intercept": 0},
        {"method": "beta", "low": 0, "high": 1, "rise": -1, "fall": 1, "intercept": 0},
        {"method": "beta", "low": 0, "high": 1, "rise": 1, "fall": -1, "intercept": 0},
        {"method": "logistic", "slope": -1, "intercept": 0},
        {"method": "spline"},
    ],
)
def test_curves_that_could_fall_are_refused(content):
    with pytest.raises(ValidationError):
        TypeAdapter(Curve).validate_python(content)


def test_a_calibration_of_an_old_manifest_is_read_and_any_curve_survives_the_file():
    content = CALIBRATION.model_dump(mode="json")
    del content["log_losses"]
    assert type(CALIBRATION).model_validate(content) == CALIBRATION
    for curve in (
        BetaCurve(low=-1, high=1, rise=2, fall=3, intercept=0.5),
        IsotonicCurve(evidence=(0.0, 4.0), logits=(-2.0, 2.0)),
    ):
        kept = CALIBRATION.model_copy(update={"curve": curve})
        assert type(kept).model_validate_json(kept.model_dump_json()) == kept


@pytest.mark.parametrize("metric", Metric)
def test_evidence_points_towards_alike(metric: Metric):
    scores = np.linspace(0, 1, 11)
    steps = np.diff(evidence(scores, metric))
    assert (steps > 0).all() if metric.higher_is_alike else (steps < 0).all()


@pytest.mark.parametrize(
    ("metric", "score", "expected"),
    [
        (Metric.SIGMOID_SIMILARITY, 0.9, math.log(9)),
        (Metric.SIGMOID_SIMILARITY, 1e-5, math.log(1e-5)),
        (Metric.EXPONENTIAL_SIMILARITY, 0.2, math.log(0.2)),
        (Metric.COSINE_SIMILARITY, -0.3, -0.3),
        (Metric.EUCLIDEAN_DISSIMILARITY, 0.3, -0.3),
    ],
)
def test_evidence_by_hand(metric, score, expected):
    assert evidence(score, metric).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("metric", [Metric.SIGMOID_SIMILARITY, Metric.EXPONENTIAL_SIMILARITY])
def test_saturated_similarities_stay_finite(metric):
    assert np.isfinite(evidence([0.0, 1.0], metric)).all()


def test_the_probability_is_the_curves_of_the_evidence():
    """Slope 4, intercept 2: of 0.9 the logit is ln 9, of the distance 0.6 the evidence −0.6."""
    logit = 4 * math.log(9) + 2
    found = CALIBRATION.probability(0.9, Metric.SIGMOID_SIMILARITY)
    assert found == pytest.approx(1 / (1 + math.exp(-logit)))
    found = CALIBRATION.probability(0.6, Metric.EUCLIDEAN_DISSIMILARITY)
    assert found == pytest.approx(1 / (1 + math.exp(0.4)))


@pytest.mark.parametrize("change", [{"prior": 0}, {"prior": 1}, {"classes": 0}, {"far": 1.1}])
def test_a_calibration_that_cannot_be_is_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        Calibration.model_validate(CALIBRATION.model_dump() | change)


@pytest.mark.parametrize(
    ("scores", "shares"), [((0, 1), (0.5,)), ((0, 0), (0.5, 1)), ((1, 0), (0.5, 1))]
)
def test_where_scores_lie_is_told_in_order_and_of_each(scores, shares):
    for told in ({"genuine": shares, "impostor": (0.5, 1)}, {"genuine": (0.5, 1)}):
        with pytest.raises(ValidationError):
            ScoreDistribution(scores=scores, **{"impostor": shares, **told})


def test_figures_without_a_calibration_are_of_no_other():
    assert CALIBRATION.judges_as(CALIBRATION)
    assert not CALIBRATION.judges_as(None)


def test_figures_hold_for_a_calibration_that_only_tells_more():
    distribution = ScoreDistribution(scores=(0, 1), genuine=(0.5, 1), impostor=(0, 1))
    more = CALIBRATION.model_copy(update={"impostors": "sample", "distribution": distribution})
    assert more.judges_as(CALIBRATION)
    other = more.model_copy(update={"threshold": CALIBRATION.threshold + 1})
    assert not other.judges_as(CALIBRATION)


def test_the_threshold_itself_is_the_same():
    at = CALIBRATION.threshold
    assert CALIBRATION.same(at, Metric.EUCLIDEAN_DISSIMILARITY)
    assert CALIBRATION.same(at, Metric.COSINE_SIMILARITY)
    assert not CALIBRATION.same(at + 1e-9, Metric.EUCLIDEAN_DISSIMILARITY)
    assert not CALIBRATION.same(at - 1e-9, Metric.COSINE_SIMILARITY)
    assert not CALIBRATION.same(math.nan, Metric.COSINE_SIMILARITY)


def test_evidence_of_an_exponential_similarity_goes_on_to_the_least_there_are():
    found = evidence([1e-30, 0.5], Metric.EXPONENTIAL_SIMILARITY)
    assert found == pytest.approx([math.log(1e-30), math.log(0.5)])


@pytest.mark.parametrize("metric", Metric)
def test_what_is_no_number_is_not_the_same_wherever_it_stands(metric: Metric):
    assert not CALIBRATION.same(math.nan, metric)
    at = CALIBRATION.threshold
    assert CALIBRATION.same([[at, math.nan], [math.nan, at]], metric).tolist() == [
        [True, False],
        [False, True],
    ]


@pytest.mark.parametrize("metric", Metric)
def test_many_scores_are_judged_as_each_of_them(metric: Metric):
    scores = np.linspace(0, 1, 12).reshape(3, 4)
    for judge in (CALIBRATION.probability, CALIBRATION.same):
        each = [judge(score, metric).item() for score in scores.ravel().tolist()]
        assert judge(scores, metric).ravel().tolist() == each
