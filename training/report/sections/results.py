"""How the training went, and how well the model does: curves, thresholds, worst pairs, the map."""

from model_store.metric import Metric
from training.pictures.album import (
    DET,
    PAIRS,
    RELIABILITY,
    ROC,
    SCORES,
    score_pictures,
)
from training.pictures.chart import percent
from training.pictures.curves import CURVES, curves_png
from training.pictures.examples import pair_sheet
from training.pictures.reliability import reliability_png
from training.report.content import Content, Section
from training.report.html import Child, Html, compact, element, joined, paragraph, picture, table
from training.report.landscape import draw_map, lay_out
from training.report.measurements import Measured
from training.report.thresholds import Wanted
from training.report.words import interval_in, range_of, rate_in

_ALTERNATIVES = {
    ROC: "ROC curve: genuine pairs accepted against impostors let in",
    DET: "DET curve: false rejects against false accepts",
    SCORES: "Histogram of the scores of genuine and impostor pairs",
    RELIABILITY: "Reliability diagram: promised probability against the share found",
    PAIRS: "The impostor pairs most alike and the genuine pairs least alike",
}


def training(content: Content) -> Section:
    """Loss and errors over the steps."""
    curves = content.beside.picture(CURVES)
    if curves is None and content.beside.history:
        curves = curves_png(content.beside.history, content.title)
    if curves is None:
        told = "No history of a training is kept with this model."
        if content.beside.history is not None:
            told = "The model took no step of training: its weights are those that it started from."
        return Section("training", "Training", paragraph(told, class_="quiet"))
    body = picture(curves, "Loss, learning rate and validation errors over the steps")
    return Section("training", "Training", body)


def separation(content: Content) -> Section:
    """Histogram, ROC, DET."""
    measured, calibration = content.measured, content.manifest.calibration
    if measured is not None:
        drawn = score_pictures(measured.scored, content.subtitle, calibration=calibration)
        body = joined(
            [
                picture(drawn[SCORES], _ALTERNATIVES[SCORES]),
                element(
                    "div",
                    *(picture(drawn[name], _ALTERNATIVES[name]) for name in (ROC, DET)),
                    class_="two",
                ),
            ]
        )
    else:
        body = _kept(content, (SCORES, ROC))
    return Section("separation", "Scores, ROC, DET", body)


def calibration(content: Content) -> Section:
    """Promised against found."""
    measured, curve = content.measured, content.manifest.calibration
    if curve is None:
        told = "The model is not calibrated: there is no probability that could be checked."
        return Section("calibration", "Calibration", paragraph(told, class_="quiet"))
    meaning = paragraph(
        f"Calibrated ({curve.curve.method}) on {curve.data}: {curve.genuine_pairs:,} genuine and "
        f"{curve.impostor_pairs:,} impostor pairs. A point on the dashed line keeps what it "
        "promises; intervals are as if pairs did not depend on each other, and so rather narrow."
    )
    if measured is not None and not measured.calibrated_on:
        drawn = reliability_png(measured.scored, curve, content.subtitle)
        shown = picture(drawn, _ALTERNATIVES[RELIABILITY])
    elif not content.calibrated_since and content.beside.picture(RELIABILITY) is not None:
        shown = joined([_tested_by(content), _kept(content, (RELIABILITY,))])
    elif measured is not None:
        untested = (
            "The model is calibrated on classes that are among these, so that they cannot show "
            "what its promises are worth on others; images of other classes would."
        )
        shown = paragraph(untested, class_="quiet")
    else:
        shown = _needs_data(content)
    return Section("calibration", "Calibration", joined([meaning, shown]))


def _tested_by(content: Content) -> Html:
    """What a kept picture is of where it is of another calibration than the model's own."""
    tested = content.of_calibration
    if tested is None or not tested.calibrated_by:
        return joined([])
    return paragraph(
        "All of these calibrate the model; the picture is of a calibration by "
        f"{tested.calibrated_by}.",
        class_="quiet",
    )


def thresholds(content: Content) -> Section:
    """For a wanted false-accept rate: the threshold and what it costs."""
    if content.measured is not None:
        body = _thresholds(content, content.measured)
    else:
        body = _kept_thresholds(content)
    return Section("thresholds", "Thresholds", body)


def worst(content: Content) -> Section:
    """The pairs judged worst."""
    measured = content.measured
    if measured is None:
        return Section("worst", "Worst pairs", _kept(content, (PAIRS,)))
    sheet = pair_sheet(
        measured.scored,
        measured.left.folder,
        (measured.right or measured.left).folder,
        content.subtitle,
        calibration=content.manifest.calibration,
    )
    return Section("worst", "Worst pairs", picture(compact(sheet), _ALTERNATIVES[PAIRS]))


def landscape(content: Content) -> Section:
    """The map of embeddings."""
    title = "Map of embeddings"
    if content.measured is None:
        return Section("map", title, _needs_data(content))
    embedded = content.measured.left
    found = lay_out(
        embedded,
        seed=content.seed,
        cosine=content.manifest.metric is Metric.COSINE_SIMILARITY,
    )
    classes = len({embedded.labels[row] for row in found.rows.tolist()})
    told = paragraph(
        f"{len(found.rows):,} images of {classes:,} classes, placed by {found.method} (seed "
        f"{content.seed}): what the network takes for alike lies close together. Frames of one "
        "colour are of one class; point at an image for its name. Distances across the map mean "
        "little, and images that would lie on each other are moved apart."
    )
    return Section("map", title, joined([told, element("figure", draw_map(embedded, found))]))


def _thresholds(content: Content, measured: Measured) -> Html:
    headings = (
        "wanted false-accept rate",
        "threshold",
        "false accepts here",
        "of other classes (95 %)",
        "false rejects here",
        "of other classes (95 %)",
    )
    rows: list[tuple[Child, ...]] = []
    for entry in measured.wanted:
        rate: Child = f"at most {percent(entry.target)}"
        if entry.advice:
            rate = joined([rate, element("span", entry.advice, class_="advice")])
        rows.append((rate, *_cells(entry)))
    own = content.manifest.calibration
    note: list[Child] = []
    here = measured.evaluations[0].figures.get("at_threshold")
    if own is not None and isinstance(here, dict):
        note.append(
            paragraph(
                f"The model's own threshold is {own.threshold:.4g}, chosen at calibration for at "
                f"most {percent(own.target_far)}; here it lets in {rate_in(here, 'far')} of the "
                f"impostors and refuses {rate_in(here, 'frr')} of the genuine pairs."
            )
        )
    return joined(
        [
            paragraph(
                f"Chosen and counted on {measured.data}. To set one: ",
                element(
                    "code",
                    f"python -m training calibrate {content.manifest.name} --data DIR --far RATE",
                ),
            ),
            table(headings, rows),
            *note,
        ]
    )


def _cells(entry: Wanted) -> tuple[Child, ...]:
    cells = (
        f"{entry.threshold:.4g}",
        percent(entry.far),
        range_of(entry.far_interval),
        percent(entry.frr),
        range_of(entry.frr_interval),
    )
    if entry.told:
        return cells
    return tuple(element("span", cell, class_="untold") for cell in cells)


def _kept_thresholds(content: Content) -> Html:
    """What the manifest knows: the model's own threshold, and rates without their thresholds."""
    found: list[Child] = []
    own = content.manifest.calibration
    if own is not None:
        headings = (
            "wanted false-accept rate",
            "threshold",
            "false accepts",
            "of other classes (95 %)",
            "false rejects",
            "of other classes (95 %)",
        )
        row = (
            f"at most {percent(own.target_far)}",
            f"{own.threshold:.4g}",
            percent(own.far),
            range_of(own.far_interval),
            percent(own.frr),
            range_of(own.frr_interval),
        )
        found += [paragraph(f"The model's own, on {own.data}."), table(headings, [row])]
    verification = content.evaluation("verification")
    if verification is not None:
        rates = verification.figures.get("frr_at_far")
        intervals = verification.figures.get("frr_at_far_interval")
        if isinstance(rates, dict):
            ends = intervals if isinstance(intervals, dict) else {}
            rows = [
                (
                    f"at most {percent(float(far))}",
                    percent(frr) if isinstance(frr, float) else "–",
                    range_of(interval_in({"interval": ends.get(far)}, "")),
                )
                for far, frr in rates.items()
            ]
            found += [
                paragraph(f"What other rates would cost, on {verification.data}."),
                table(("wanted false-accept rate", "false rejects", "95 % interval"), rows),
            ]
    return joined([*found, _needs_data(content, "The thresholds of other rates need")])


def _kept(content: Content, names: tuple[str, ...]) -> Html:
    """The pictures that `fit` has drawn, as far as they are there."""
    drawn = [
        picture(data, _ALTERNATIVES[name])
        for name in names
        if (data := content.beside.picture(name)) is not None
    ]
    notes = []
    if drawn and content.calibrated_since:
        replaced = "The model was calibrated anew since: a threshold marked here was replaced."
        notes.append(paragraph(replaced, class_="quiet"))
    if len(drawn) < len(names):
        notes.append(_needs_data(content))
    return joined([*drawn, *notes])


def _needs_data(content: Content, what: str = "This needs") -> Html:
    return paragraph(f"{what} images: ", element("code", content.with_data), class_="quiet")
