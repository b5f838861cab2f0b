"""Warnings, all figures, where the weights began, and the card."""

from training.calibration import (
    calibration_warnings,
    is_of_typicality,
    typicality_warnings,
)
from training.evaluation.wording import rows_of, told_calibrated_by
from training.publishing.card import tells_of_older_calibration
from training.report import markdown
from training.report.content import Content, Section
from training.report.html import Child, bullets, details, element, joined, paragraph, table

_WARNINGS = "Warnings"
_NOTE = "Note: "


def warnings(content: Content) -> Section:
    """Everything a user should know before trusting the model."""
    found: list[str] = markdown.bullets_under(content.beside.card, _WARNINGS)
    # What fit said of its calibration cannot be told from the calibration alone: which two classes
    # decide the threshold, or that the model may be guessing. It is of no other calibration.
    noted = [
        said.removeprefix(_NOTE)
        for said in markdown.bullets_under(content.beside.card, "Calibration")
        if said.startswith(_NOTE)
    ]
    if not tells_of_older_calibration(content.beside.card.encode()):
        # The description may have been made anew without the calibration.
        found += [said for said in noted if not is_of_typicality(said)]
    if content.manifest.calibration is not None:
        found += calibration_warnings(content.manifest.calibration)
    if content.manifest.typicality is not None:
        found += typicality_warnings(content.manifest.typicality)
    else:
        found += [said for said in typicality_warnings(None) if said in noted]
    if content.measured is not None:
        found += content.measured.warnings
        found += [
            f"a false-accept rate of {entry.target:g}: {entry.advice}"
            for entry in content.measured.wanted
            if entry.advice
        ]
    elif content.manifest.calibration is None:
        found.append(
            "the model is not calibrated: it gives scores, and neither probabilities nor decisions"
        )
    found += [*content.notes, *content.beside.problems]
    entries = [markdown.inline(entry[:1].upper() + entry[1:]) for entry in dict.fromkeys(found)]
    body = bullets(entries, class_="warnings") if entries else paragraph("None.", class_="quiet")
    return Section("warnings", _WARNINGS, body)


def figures(content: Content) -> Section:
    """All figures, newest first."""
    measured = () if content.measured is None else content.measured.evaluations
    kept = tuple(reversed(content.manifest.evaluations))
    body: list[Child] = []
    for evaluation in (*measured, *kept):
        of_today = evaluation in measured
        title = f"{evaluation.protocol}, {'measured for this report' if of_today else 'kept'}"
        rows = [(name.replace("_", " "), *rest) for name, *rest in rows_of(evaluation.figures)]
        inside = [table(("figure", "value", "95 % interval"), rows)]
        if by := told_calibrated_by(evaluation):
            inside.insert(0, paragraph(by))
        body.append(details(f"{title}: {evaluation.data}", joined(inside)))
    if not body:
        body.append(paragraph("None are kept with this model.", class_="quiet"))
    return Section("figures", "Figures", joined(body))


def start(content: Content) -> Section:
    """What the weights were before training."""
    lines = content.beside.start
    if lines:
        body = element("pre", "\n".join(lines))
    else:
        body = paragraph("No report on start weights is kept with this model.", class_="quiet")
    return Section("start", "Start weights", body)


def card(content: Content) -> Section:
    """The card that `fit` wrote."""
    if content.beside.card:
        body = element("div", markdown.to_html(content.beside.card), class_="card-text")
    else:
        body = paragraph("No card is kept with this model.", class_="quiet")
    return Section("card", "Card", body)
