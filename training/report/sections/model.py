"""What the model is, how it decides, and its key figures."""

from pydantic import JsonValue

from model_store.manifest import Evaluation
from training.evaluation.wording import ways_of
from training.pictures.chart import named, percent
from training.report.content import Content, Section
from training.report.html import Child, Html, element, joined, paragraph, table
from training.report.words import decision_rule, input_of, interval_in, range_of, what_that_costs


def summary(content: Content) -> Section:
    """What the model is for, its key figures, its rule."""
    manifest = content.manifest
    calibration = manifest.calibration
    body: list[Child] = []
    if manifest.description:
        body.append(paragraph(manifest.description, class_="lead"))
    body.append(_tiles(content))
    rule = decision_rule(manifest.metric, calibration).replace("NAME", manifest.name)
    body.append(element("h3", "How it decides"))
    body.append(paragraph(rule))
    if calibration is not None:
        body.append(paragraph(what_that_costs(calibration)))
    body += [element("h3", "What it is"), _facts(content)]
    return Section("summary", "Summary", joined(body))


def _facts(content: Content) -> Html:
    manifest = content.manifest
    weights = manifest.weights
    branches = " | ".join(branch.backbone for branch in manifest.network.branches)
    comparator = manifest.network.comparator.name
    order = "of no account" if manifest.symmetric else "of account: left and right differ"
    rows: list[tuple[str, Child]] = [
        ("Score", named(manifest.metric)),
        ("Input", input_of(manifest.preprocessing)),
        ("Network", f"{branches}, compared by {comparator}"),
        ("Embedding", f"{manifest.dimension:,} values"),
        ("Order of the two images", order),
        (
            "Size",
            f"{weights.parameters:,} parameters, {weights.bytes / 1e6:.1f} MB as {weights.dtype}",
        ),
        ("Made", f"{manifest.created:%Y-%m-%d %H:%M} UTC"),
    ]
    if manifest.provenance.command:
        rows.append(("By", element("code", manifest.provenance.command)))
    if manifest.provenance.data:
        rows.append(("Trained on", manifest.provenance.data))
    return table(("", ""), rows, wide=2)


def _tiles(content: Content) -> Html:
    tiles: list[Html] = []
    verification = content.evaluation("verification")
    used = [verification, content.evaluation("one-shot"), content.evaluation("retrieval")]
    if verification is not None:
        figures = verification.figures
        tiles += [
            _share("AUC", figures, "auc", "how well both kinds of pairs part; 0.5 is chance"),
            _rate("Equal error rate", figures, "eer", "where both kinds of errors are as frequent"),
        ]
    calibrated = content.of_calibration
    here = None if calibrated is None else calibrated.figures["at_threshold"]
    if calibrated is not None and isinstance(here, dict):
        off = "how far probabilities are off, on average"
        where = "at the model's threshold"
        if calibrated.calibrated_by:
            where = f"at the threshold {here['threshold']:.4g}, chosen on other classes"
        tiles += [
            _rate("False accepts", here, "far", f"of impostor pairs, {where}"),
            _rate("False rejects", here, "frr", f"of genuine pairs, {where}"),
            _share("ECE", calibrated.figures, "calibration_error", off),
        ]
    if used[1] is not None:
        figures = used[1].figures
        note = f"right answers among {ways_of(figures) or 'the'} candidates of a group"
        tiles.append(_rate("One-shot", figures, "accuracy", note))
    if used[2] is not None:
        note = "the most alike image is of the same class"
        tiles.append(_rate("Recall at 1", used[2].figures, "recall_at_1", note))
    shown = [tile for tile in tiles if tile.text]
    if not shown:
        return paragraph("No figures were kept for this model.", class_="quiet")
    return joined([element("div", *shown, class_="tiles"), _sources(used, calibrated)])


def _sources(used: list[Evaluation | None], calibrated: Evaluation | None) -> Html:
    """What the tiles are of: those of a calibration are often of other images than the rest."""
    by_data: dict[str, list[str]] = {}
    for evaluation in used:
        if evaluation is not None:
            by_data.setdefault(evaluation.data, []).append(evaluation.protocol)
    told = "; ".join(f"{', '.join(names)} on {data}" for data, names in by_data.items())
    told = f"Measured: {told}."
    if calibrated is not None and (calibrated.calibrated_by or calibrated is not used[0]):
        told += f" False accepts, false rejects and ECE: on {calibrated.data}"
        told += f", calibrated by {calibrated.calibrated_by}" if calibrated.calibrated_by else ""
        told += "."
    return paragraph(f"{told} In small print: 95 % confidence intervals.", class_="quiet")


def _rate(name: str, figures: dict[str, JsonValue], key: str, note: str) -> Html:
    value = figures.get(key)
    if not isinstance(value, float):
        return Html("")
    interval = interval_in(figures, key)
    return _tile(name, percent(value), "" if interval is None else range_of(interval), note)


def _share(name: str, figures: dict[str, JsonValue], key: str, note: str) -> Html:
    value = figures.get(key)
    if not isinstance(value, float):
        return Html("")
    interval = interval_in(figures, key)
    shown = "" if interval is None else f"{interval[0]:.4f} – {interval[1]:.4f}"
    return _tile(name, f"{value:.4f}", shown, note)


def _tile(name: str, value: str, interval: str, note: str) -> Html:
    return element(
        "div",
        element("span", name, class_="name"),
        element("strong", value),
        element("small", interval or "no interval"),
        element("span", note, class_="note"),
        class_="tile",
    )
