import io

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from model_store.metric import Metric
from tests.training.scored import calibration, scored
from training.evaluation.metrics import OperatingPoint, roc
from training.history import Row
from training.pictures import chart
from training.pictures.album import score_pictures
from training.pictures.curves import curves_png, errors
from training.pictures.det import det_png, det_points
from training.pictures.roc import roc_points
from training.pictures.scores import histogram, scores_png


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == "PNG"
    return image


@pytest.fixture
def figures(monkeypatch):
    """Charts as they are before they become pictures, which takes most of the time."""
    drawn = []
    monkeypatch.setattr(chart, "to_png", lambda figure: drawn.append(figure) or b"")
    return drawn


def test_roc_points_by_hand():
    # From the highest: genuine 0.9, impostor 0.8, genuine 0.7 and 0.6, impostors 0.5 and 0.4.
    points = roc_points(roc([0.9, 0.7, 0.6], [0.8, 0.5, 0.4]))
    assert points.x.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 3, 1])
    assert points.y.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1, 1])


def test_equal_scores_give_a_slope():
    points = roc_points(roc([1.0, 1.0], [1.0, 0.0]))
    assert (points.x.tolist(), points.y.tolist()) == ([0, 0.5, 1], [0, 1, 1])


def test_leaving_out_points_between_corners_leaves_the_area():
    generator = np.random.default_rng(0)
    found = roc(generator.normal(1, 1, 300).round(1), generator.normal(0, 1, 500).round(1))
    points = roc_points(found)
    assert np.trapezoid(points.y, points.x) == pytest.approx(found.auc())


def test_det_points_are_normal_deviates_half_a_pair_from_the_ends():
    points = det_points(roc([0.9, 0.7, 0.6, 0.3], [0.8, 0.5]), 4, 2)
    far = stats.norm.cdf(points.x)
    frr = stats.norm.cdf(points.y)
    # FAR 0 is drawn at a quarter, 1 at three quarters; FRR 0 at an eighth, 1 at seven eighths.
    assert list(zip(far.round(4), frr.round(4), strict=True)) == [
        (0.25, 0.875),
        (0.25, 0.75),
        (0.5, 0.75),
        (0.5, 0.25),
        (0.75, 0.25),
        (0.75, 0.125),
    ]


def test_scores_of_normal_spread_give_a_straight_det_curve():
    quantiles = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    points = det_points(roc(quantiles + 2, quantiles), 2000, 2000)
    inner = (np.abs(points.x) < 1.5) & (np.abs(points.y) < 1.5)
    assert np.abs(points.x + points.y + 2)[inner].max() < 0.02


@pytest.mark.parametrize(
    ("far", "frr", "genuine"), [(0.0, 1.0, 12), (0.0, 0.9, 12), (1.0, 0.0, 12), (0.0, 1.0, 1)]
)
def test_the_threshold_lies_on_the_det_chart_whatever_its_rates(figures, far, frr, genuine):
    scores = 2.0 + np.arange(genuine), np.arange(40) / 10
    at = OperatingPoint(0.5, far, frr)
    det_png(roc(*scores), "m", genuine=genuine, impostor=40, at_threshold=at)
    axes = figures[0].axes[0]
    [marker] = [line for line in axes.lines if line.get_marker() == "D"]
    for [place], (low, high) in (
        (marker.get_xdata(), axes.get_xlim()),
        (marker.get_ydata(), axes.get_ylim()),
    ):
        assert low < place < high
    assert min(len(axes.get_xticks()), len(axes.get_yticks())) >= 2


def test_a_sole_genuine_pair_is_refused_above_where_it_is_accepted():
    points = det_points(roc([0.5], [0.9, 0.1]), 1, 2)
    assert stats.norm.cdf(points.y) == pytest.approx([0.75, 0.75, 0.25, 0.25])


def test_a_histogram_adds_up_and_holds_every_score():
    counted = histogram(scored([0.5, 1.0, 1.0], [0.0, 0.25]), bins=4)
    assert counted.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert counted.genuine.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3])
    assert counted.impostor.tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("genuine", "labels"),
    [
        ([1.0] * 20_000 + [0.5], {"0.01 %", "0.1 %", "1 %", "10 %", "100 %"}),
        # Less than a decade, where ticks between decades are labelled too.
        ([0.0, 0.5, 0.8, 1.0], {"30 %"}),
    ],
)
def test_shares_on_a_log_scale_are_all_told_in_one_way(figures, genuine, labels):
    scores_png(scored(genuine, [0.0, 0.4, 0.7]), "m")
    axes = figures[0].axes[0]
    assert axes.get_yscale() == "log"
    figures[0].draw_without_rendering()
    low, high = axes.get_ylim()
    told = {
        text.get_text()
        for text in axes.get_yticklabels(which="both")
        if text.get_text() and low <= text.get_position()[1] <= high
    }
    assert labels <= told
    assert all(text.removesuffix(" %").replace(".", "").isdigit() for text in told)


@pytest.mark.parametrize(
    ("metric", "genuine", "impostor"),
    [
        (Metric.COSINE_SIMILARITY, [0.9, 0.8, 0.2], [0.1, 0.3, -0.5]),
        (Metric.EUCLIDEAN_DISSIMILARITY, [0.1, 0.4, 0.9], [1.4, 0.8, 1.2]),
        (Metric.SIGMOID_SIMILARITY, [1.0] * 9, [0.0] * 9),
        (Metric.EXPONENTIAL_SIMILARITY, [0.5, 0.5], [0.5, 0.5]),
        (Metric.SIGMOID_SIMILARITY, [0.1, 0.2], [0.8, 0.9]),
    ],
    ids=["similarity", "dissimilarity", "apart", "collapsed", "contrary"],
)
@pytest.mark.parametrize("threshold", [None, 0.5, 3.0])
def test_whatever_the_scores_the_charts_can_be_laid_out(
    figures, metric, genuine, impostor, threshold
):
    known = None if threshold is None else calibration(slope=5, threshold=threshold)
    score_pictures(scored(genuine, impostor, metric=metric), "m on data", calibration=known)
    assert len(figures) == 3
    for figure in figures:
        figure.draw_without_rendering()


def test_the_pictures_open_and_signs_of_formulas_in_a_name_are_no_formula():
    drawn = score_pictures(
        scored([0.9, 0.8], [0.1]), "m on $\\frac{, prices in $", calibration=None
    )
    sizes = {name: opened(content).size for name, content in drawn.items()}
    assert sizes == {"roc.png": (900, 720), "det.png": (900, 720), "scores.png": (900, 560)}


def row(step, **figures):
    return Row(step, step / 10, 1.0 * step, 0.1, 1 / step, 100.0, **figures)


def test_errors_are_drawn_where_they_were_measured():
    history = (row(1), row(2, eer=0.2, auc=0.9), row(3), row(4, eer=0.1, auc=0.95, one_shot=0.75))
    found = {entry.name: (entry.steps, entry.values) for entry in errors(history)}
    assert found["equal error rate"] == ((2, 4), (0.2, 0.1))
    assert found["1 − AUC"][1] == pytest.approx((0.1, 0.05))
    assert found["one-shot error"] == ((4,), (0.25,))
    assert len(found) == 3


def test_accuracy_has_a_panel_where_it_was_measured():
    rows = (row(1), row(2, accuracy=0.5), row(3, accuracy=0.75))
    assert opened(curves_png(rows, "m")).height == 680


@pytest.mark.parametrize("steps", [(1,), (20,), (1, 2), (1, 2, 3), (10, 15), (500_000, 1_500_000)])
def test_ticks_are_whole_steps_and_each_stands_once(figures, steps):
    curves_png(tuple(row(step, eer=0.1, auc=0.9) for step in steps), "m")
    figures[0].draw_without_rendering()
    axis = figures[0].axes[-1].xaxis
    told = {text.get_position()[0]: text.get_text() for text in axis.get_ticklabels()}
    assert all(text == f"{place:,.10g}" for place, text in told.items())
    assert len(set(told.values())) == len(told)
    assert min(told) <= steps[-1]


def test_legends_cover_no_line_and_no_heading(figures):
    measured = {"eer": 0.3, "auc": 0.9, "one_shot": 0.6, "accuracy": 0.5}
    apart = {"genuine_distance": 0.5, "impostor_distance": 1.0, "collapsed_loss": 1.0}
    history = tuple(row(step, **measured, **apart) for step in (1, 2))
    curves_png(history, "a long name " * 20, kept_step=1)
    figures[0].draw_without_rendering()
    panels = [axes for axes in figures[0].axes if axes.get_legend()]
    assert len(panels) == 4
    subtitle = panels[0].texts[0].get_window_extent()
    for axes, above in zip(panels, [subtitle, *(axes.bbox for axes in panels)], strict=False):
        legend = axes.get_legend().get_window_extent()
        assert axes.bbox.y1 - 1 <= legend.y0 < legend.y1 <= above.y0
        assert figures[0].bbox.x0 <= legend.x0 < legend.x1 <= figures[0].bbox.x1


def test_a_low_learning_rate_is_told_at_the_ticks(figures):
    curves_png((Row(1, 1.0, 1.0, 3e-6, 1.0, 100.0),), "m")
    figures[0].draw_without_rendering()
    [rates] = [axes for axes in figures[0].axes if axes.get_ylabel() == "learning rate"]
    assert rates.yaxis.get_offset_text().get_text() == ""
    assert "1e-06" in {text.get_text() for text in rates.get_yticklabels()}


@pytest.mark.parametrize("validated", [False, True])
def test_curves_open_with_a_panel_for_what_was_measured(validated):
    figures = {"eer": 0.1, "auc": 0.9} if validated else {}
    image = opened(curves_png((row(1), row(2, **figures)), "m", kept_step=2))
    assert image.width == 900
    assert image.height == (680 if validated else 400)
