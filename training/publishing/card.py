"""The card of a checkpoint: what a person wants to know of it, as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass

from model_store.calibration import Calibration
from model_store.manifest import Evaluation, StoredType
from model_store.typicality import Typicality
from training.data.parts import Parts
from training.data.split import Split
from training.evaluation.wording import decimal, plain, rows_of, told_calibrated_by
from training.judging import Outcome
from training.naming import one_line
from training.pictures.curves import CURVES
from training.progress import duration
from training.publishing.warned import Warned
from training.recipe import Recipe
from training.recipe.files import to_yaml
from training.run.folder import RunRecord
from training.run.state import Standing

CARD_FILE = "card.md"
"""The file's name beside a checkpoint."""

_CALIBRATED_SINCE = (
    b"Calibrated anew since: what this card and its pictures say of threshold, probabilities and "
    b"the model's own kind of images is how `fit` left them. `manifest.json` has what holds now."
)

_DESCRIBED_SINCE = (
    b"Described anew since: what this card says of the model's own kind of images is how `fit` "
    b"left it. `manifest.json` has what holds now."
)


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        name: The model's.
        parameters: Values in the network.
        dtype: What they are stored as.
        record: How the run began.
        recipe: What was trained.
        split: Which classes served what.
        parts: On what.
        source: What the data is called.
        standing: How long.
        hardware: Where.
        outcome: With what result.
        kept_step: The step of the weights that were kept.
        warned: What was warned of.
    """

    name: str
    parameters: int
    dtype: StoredType
    record: RunRecord
    recipe: Recipe
    split: Split
    parts: Parts
    source: str
    standing: Standing
    hardware: str
    outcome: Outcome
    kept_step: int
    warned: Warned


def write_card(facts: Facts) -> bytes:
    """The whole card."""
    recipe, standing, warned = facts.recipe, facts.standing, facts.warned
    lines = [
        f"# {facts.name}",
        "",
        recipe.description,
        "",
        "## Training",
        "",
        f"- Command: `{one_line(facts.record.command)}`",
        f"- Recipe: `{facts.record.recipe}`, seed {recipe.seed} (whole at the end)"
        + (f"; chosen because {facts.record.reason}" if facts.record.reason else ""),
        f"- Data: {one_line(facts.source)}: {facts.parts.train.described()} to train on",
        *_parts(facts.parts, facts.split),
        f"- Network: {facts.parameters:,} parameters, stored as {facts.dtype}",
        f"- Length: {standing.step:,} steps in {duration(standing.seconds)} on {facts.hardware}",
        *_kept(facts),
        "",
        *(["```", facts.record.tried, "```", ""] if facts.record.tried else []),
        # What took no step has no curves.
        *([f"![Loss and validation]({CURVES})", ""] if standing.history else []),
        *(["## Warnings", "", *_points(warned.training), ""] if warned.training else []),
        "## Figures",
        "",
        *_pictured(facts.outcome),
        *(_figures(facts.outcome.evaluations) or ["No classes were kept for validation.", ""]),
        "## Calibration",
        "",
        *_calibration(facts.outcome.calibration),
        *_typicality(facts.outcome.typicality),
        *_points(f"Note: {said}" for said in (*warned.calibration, *warned.typicality)),
        "",
        "## Recipe",
        "",
        "```yaml",
        to_yaml(recipe).decode().rstrip(),
        "```",
        "",
    ]
    return "\n".join(lines).encode()


def calibrated_since(card: bytes) -> bytes:
    """A card that tells how `fit` left the model, with a note below its title that says so."""
    if _CALIBRATED_SINCE in card:
        return card
    return _noted(card, _CALIBRATED_SINCE)


def described_since(card: bytes) -> bytes:
    """A card whose calibration holds, with a note that its description is not the newest."""
    if _DESCRIBED_SINCE in card or _CALIBRATED_SINCE in card:
        return card
    return _noted(card, _DESCRIBED_SINCE)


def _noted(card: bytes, note: bytes) -> bytes:
    title, _, rest = card.partition(b"\n")
    return b"\n".join([title, b"", note, rest])


def _points(texts: Iterable[str]) -> list[str]:
    """A list, whatever names stand in it: no point may begin a line that is none of it."""
    return [f"- {one_line(text)}" for text in texts]


def _parts(parts: Parts, split: Split) -> list[str]:
    lines = []
    new = ", never trained on" if split.all_new else ""
    if parts.validation is not None:
        lines.append(f"- Validation classes{new}: {parts.validation.described()}")
    if parts.calibration is not None:
        lines.append(f"- Calibration classes{new}: {parts.calibration.described()}")
    if split.seen:
        lines.append(
            f"- Of those classes, {len(split.seen):,} have the names of classes trained on: the "
            "data is split by image, and the figures are for classes the model knows"
        )
    return lines


def _kept(facts: Facts) -> list[str]:
    if facts.kept_step == facts.standing.step:
        return []
    if facts.recipe.validation.keep == "every":
        return [f"- Kept: the weights of step {facts.kept_step:,}, on the way to a later model"]
    if facts.recipe.calibration.folds:
        return [
            (
                f"- Kept: the weights of step {facts.kept_step:,}, the best validated; the "
                "networks that calibrate and give the figures of all classes were trained up to "
                "that step too. Figures of the validation classes flatter a little, since they "
                "chose it"
            )
        ]
    return [
        (
            f"- Kept: the weights of step {facts.kept_step:,}, the best validated; the figures "
            "below flatter a little, since the same classes chose them"
        )
    ]


def _pictured(outcome: Outcome) -> list[str]:
    if outcome.validation is None:
        return []
    return [
        "![Scores of validation pairs](scores.png)",
        "![ROC on validation pairs](roc.png)",
        "![The worst validation pairs](pairs.png)",
        "",
    ]


def _figures(evaluations: tuple[Evaluation, ...]) -> list[str]:
    lines: list[str] = []
    for evaluation in evaluations:
        lines += [f"### {evaluation.protocol}", "", f"On {one_line(evaluation.data)}.", ""]
        if by := told_calibrated_by(evaluation):
            lines += [one_line(by), ""]
        lines += ["| Figure | Value | 95 % interval |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows_of(evaluation.figures)]
        lines.append("")
    return lines


def _cell(text: str) -> str:
    """What stands in a table, whatever a group is called: no `|` of it may end a cell."""
    return one_line(text).replace("|", r"\|")


def _calibration(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return [
            "Not calibrated: no probability, no decision. `python -m training calibrate` does that."
        ]
    return [
        (
            f"- Threshold {calibration.threshold:.6g}, chosen for a false-accept rate of "
            f"{calibration.target_far:g} on {one_line(calibration.data)}"
        ),
        (
            f"- False-accept rate there {decimal(calibration.far)}, of other classes (95 %) "
            f"{plain(list(calibration.far_interval))}"
        ),
        (
            f"- False-reject rate there {decimal(calibration.frr)}, of other classes (95 %) "
            f"{plain(list(calibration.frr_interval))}"
        ),
        f"- Probabilities assume a prior of {calibration.prior:g} for genuine pairs",
    ]


def _typicality(typicality: Typicality | None) -> list[str]:
    if typicality is None:
        return ["- Which images are of the model's own kind is not known"]
    return [
        (
            f"- An image counts as of the model's own kind where its typicality is at least "
            f"{typicality.level:g}, by {typicality.images:,} images of {typicality.classes:,} "
            "classes"
        )
    ]
