"""Warnings, all figures, where the weights began, and the card."""

from training.calibration import calibration_warnings, typicality_warnings
from training.evaluation.wording import rows_of, told_calibrated_by
from training.naming import one_line
from training.report import markdown
from training.report.content import Content, Section
from training.report.html import Child, bullets, details, element, joined, listing, paragraph, table

_WARNINGS = "Warnings"


def warnings(content: Content) -> Section:
    """Everything a user should know before trusting the model."""
    # What was said when a calibration was made cannot be told from the calibration alone: which two
    # classes decide the threshold, or that the model may be guessing.
    warned = content.beside.warned
    found = [*warned.training, *warned.calibration]
    if content.manifest.calibration is not None:
        found += calibration_warnings(content.manifest.calibration)
    if content.manifest.typicality is not None:
        found += typicality_warnings(content.manifest.typicality)
    else:
        found += warned.typicality
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
    lines = map(one_line, found)
    entries = [markdown.inline(entry[:1].upper() + entry[1:]) for entry in dict.fromkeys(lines)]
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
        body = listing("\n".join(lines))
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
