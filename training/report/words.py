"""Figures and rules in words."""

from collections.abc import Mapping

from pydantic import JsonValue

from model_store.calibration import Calibration
from model_store.metric import Metric
from model_store.preprocessing import Preprocessing
from training.evaluation.intervals import Interval
from training.pictures.chart import percent

_RESIZED = {
    "stretch": "stretched to the input's shape",
    "letterbox": "shrunk or grown whole, with a margin where the shape differs",
    "crop": "cut to the input's shape around the middle",
    "ink": "cut out around what is drawn",
}


def range_of(interval: Interval | None) -> str:
    """An interval of rates; a dash where there is none."""
    if interval is None:
        return "–"
    # No line may break between a number and its sign.
    return f"{percent(interval[0])} – {percent(interval[1])}".replace(" ", "\N{NO-BREAK SPACE}")


def interval_in(figures: Mapping[str, JsonValue], key: str) -> Interval | None:
    """The interval of a figure, as the protocols name it; None where there is none."""
    found = figures.get(f"{key}_interval", figures.get("interval"))
    if isinstance(found, list) and len(found) == 2:
        low, high = found
        if isinstance(low, int | float) and isinstance(high, int | float):
            return float(low), float(high)
    return None


def rate_in(figures: Mapping[str, JsonValue], key: str) -> str:
    """A rate with its interval behind it."""
    value, interval = figures.get(key), interval_in(figures, key)
    if not isinstance(value, float):
        return "–"
    return percent(value) + ("" if interval is None else f" ({range_of(interval)})")


def decision_rule(metric: Metric, calibration: Calibration | None) -> str:
    """When two images are called the same."""
    unit = metric.value.replace("_", " ").replace("euclid", "Euclid")
    if calibration is None:
        better = "higher" if metric.higher_is_alike else "lower"
        return (
            f"The model gives a {unit}, the {better} the more alike, but no decision and no "
            "probability: it is not calibrated. Give it a threshold with: python -m training "
            "calibrate NAME --data DIR --far 0.01"
        )
    least = "at least" if metric.higher_is_alike else "at most"
    return (
        f"Two images are called the same where their {unit} is {least} "
        f"{calibration.threshold:.4g}, and different otherwise. The threshold was chosen to let "
        f"in at most {percent(calibration.target_far)} of pairs of two classes."
    )


def what_that_costs(calibration: Calibration) -> str:
    """The rates at the threshold, on what it was chosen on."""
    return (
        f"On the {calibration.impostor_pairs:,} impostor and {calibration.genuine_pairs:,} "
        f"genuine pairs of {calibration.classes:,} classes that it was chosen on, it let in "
        f"{percent(calibration.far)} of the impostors and refused {percent(calibration.frr)} of "
        "the genuine pairs; of as many other classes it should, with 95 % confidence, let in "
        f"{range_of(calibration.far_interval)} and refuse {range_of(calibration.frr_interval)}. "
        "Probabilities assume that "
        f"{percent(calibration.prior)} of all pairs are genuine."
    )


def input_of(preprocessing: Preprocessing) -> str:
    """What the network sees of an image."""
    colour = "colour" if preprocessing.mode == "RGB" else "grey"
    size = f"{preprocessing.width} × {preprocessing.height} pixels"
    return f"{size}, {colour}; images are {_RESIZED[preprocessing.resize]}"
