"""Sections of a report: each figure in its place."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from model_store.manifest import Evaluation
from model_store.store import ModelStore
from tests.training import small
from tests.training.report.test_html import read
from tests.training.scored import calibration
from training.data.split import Split
from training.report.beside import Beside
from training.report.content import Content
from training.report.located import Located
from training.report.sections import data, model, records, results
from training.report.thresholds import Wanted

RATES = {
    "far": 0.01,
    "far_interval": (0.005, 0.03),
    "frr": 0.2,
    "frr_interval": (0.1, 0.4),
}


def evaluation(eer: float) -> Evaluation:
    figures = {
        "eer": eer,
        "frr_at_far": {"0.10": 0.25, "0.05": 0.5},
        "frr_at_far_interval": {"0.10": [0.125, 0.375], "0.05": None},
    }
    return Evaluation(protocol="verification", data=f"data of {eer}", figures=figures)


@pytest.fixture
def content(tmp_path):
    store = ModelStore(tmp_path)
    own = calibration(threshold=0.75).model_copy(update={**RATES, "target_far": 0.02})
    kept = (evaluation(0.3), evaluation(0.1))
    store.save("m", small.network("cosine"), calibration=own, evaluations=kept)
    split = Split(
        seed=0,
        unit="class",
        train=tuple(f"train{n}" for n in range(503)),
        validation=tuple(f"val{n}" for n in range(500)),
        calibration=(),
        train_digest="",
    )
    beside = Beside(split=split, skipped=tuple((f"{n}.png", "spoilt") for n in range(207)))
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return Content(store.manifest("m"), beside, Located(), None, made)


def shown(markup) -> str:
    return read(markup).text.replace("\N{NO-BREAK SPACE}", " ")


def in_order(text: str, *parts: str) -> bool:
    places = [text.index(part) for part in parts]
    return all(one < other for one, other in pairwise(places))


def test_rates_at_a_wanted_threshold_stand_in_their_columns():
    cells = results._cells(Wanted(target=0.02, threshold=0.75, advice="", told=True, **RATES))
    plain = [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in cells]
    assert plain == ["0.75", "1 %", "0.5 % – 3 %", "20 %", "10 % – 40 %"]


def test_what_the_pairs_cannot_tell_is_marked():
    cells = results._cells(Wanted(target=0.02, threshold=0.75, advice="", told=False, **RATES))
    assert all('class="untold"' in cell.text for cell in cells)


def test_kept_rates_stand_in_their_columns(content):
    text = shown(results.thresholds(content).body)
    columns = "false acceptsof other classes (95 %)false rejectsof other classes (95 %)"
    assert columns in text
    assert "at most 2 %0.751 %0.5 % – 3 %20 %10 % – 40 %" in text
    assert "What other rates would cost, on data of 0.1." in text, "the newest"
    assert "at most 10 %25 %12.5 % – 37.5 %" in text
    assert "at most 5 %50 %–" in text


def test_the_newest_figures_come_first(content):
    assert content.evaluation("verification").figures["eer"] == 0.1
    assert content.evaluation("retrieval") is None
    text = shown(records.figures(content).body)
    assert in_order(text, "verification, kept: data of 0.1", "verification, kept: data of 0.3")


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"ways": 2, "fewest_ways": 2}, "among 2 candidates of a group"),
        ({"ways": 20, "fewest_ways": 5}, "among 5 to 20 candidates of a group"),
        # Of an earlier release.
        ({}, "among the candidates of a group"),
    ],
)
def test_a_one_shot_figure_says_among_how_many(content, figures, told):
    trials = Evaluation(protocol="one-shot", data="d", figures={"accuracy": 1.0, **figures})
    manifest = content.manifest.model_copy(update={"evaluations": (trials,)})
    text = shown(model.summary(replace(content, manifest=manifest)).body)
    assert f"right answers {told}" in text


def test_of_many_names_it_is_said_how_many_more_there_are(content):
    text = shown(data.data(content).body)
    assert "207 not used in training" in text
    assert "199.png: spoilt… and 7 more" in text
    assert "200.png" not in text
    text = shown(data.split(content).body)
    assert "train: 503 classes" in text
    assert "train499, … and 3 more" in text
    assert "train500" not in text
    assert "val499validation" not in text
    assert text.count("more") == 1, "500 are all shown"
