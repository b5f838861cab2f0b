"""What a report measures anew, on the images that are given for it."""

from collections.abc import Callable
from dataclasses import dataclass

from model_store.calibration import Calibration
from model_store.manifest import Evaluation
from model_store.network import SiameseNetwork
from model_store.typicality import Typicality
from training.calibration import unpaired_warnings
from training.errors import DataError
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.figures import Figures
from training.evaluation.metrics import Floats
from training.evaluation.pairs import ScoredPairs, score_folder
from training.evaluation.protocols.one_shot import one_shot
from training.evaluation.protocols.retrieval import retrieval
from training.evaluation.protocols.verification import verification_figures
from training.report.thresholds import Wanted, few_classes, wanted_rates


@dataclass(frozen=True)
class Measured:
    """Images, embedded and judged.

    Attributes:
        data: What they are, in words.
        left: The images that stand left in pairs.
        right: The images that stand right, where they are others or embedded otherwise.
        scored: The pairs.
        evaluations: Their figures, by protocol.
        wanted: The thresholds for usual false-accept rates.
        typicality: float64 (N,), of the left images; None where the model cannot tell.
        warnings: What is to be known of all that.
        calibrated_on: Whether the model's calibration has seen these classes: then its worth on
            others cannot be told by them.
    """

    data: str
    left: EmbeddedFolder
    right: EmbeddedFolder | None
    scored: ScoredPairs
    evaluations: tuple[Evaluation, ...]
    wanted: tuple[Wanted, ...]
    typicality: Floats | None
    warnings: tuple[str, ...]
    calibrated_on: bool = False


def measure(
    network: SiameseNetwork,
    left: EmbeddedFolder,
    right: EmbeddedFolder | None,
    *,
    data: str,
    calibration: Calibration | None,
    typicality: Typicality | None,
    seed: int,
    max_impostors: int,
    calibrated_on: bool = False,
    crossed: ScoredPairs | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Scores the pairs and takes the figures: verification, retrieval, and one-shot by groups.

    Args:
        network: What embedded the images.
        left: The images.
        right: As `score_folder` takes them.
        data: What they are, in words.
        calibration: The model's own, if it has one.
        typicality: Likewise.
        seed: Of samples and intervals.
        max_impostors: Above it a sample of impostor pairs is taken.
        calibrated_on: Whether the model's calibration has seen these classes.
        crossed: The pairs, each scored by what was fitted to other classes; for images that the
            model itself was fitted to.
        on_progress: Told how many images the others were searched for.

    Raises:
        DataError: There is no pair of one class, or none of two.
    """
    scored = crossed
    if scored is None:
        scored = score_folder(network, left, right, seed=seed, max_impostors=max_impostors)
    digest = left.folder.digest()
    judged = None if calibrated_on else calibration
    figures: dict[str, Figures] = {
        "verification": verification_figures(scored, calibration=judged, seed=seed)
    }
    if crossed is None:
        figures["retrieval"] = retrieval(
            left, network, gallery=right, seed=seed, on_progress=on_progress
        )
    warnings = [few_classes(scored), *unpaired_warnings(scored)]
    if calibration is None:
        warnings.append(
            "the model is not calibrated: it gives scores, and neither probabilities nor decisions"
        )
    elif calibrated_on:
        warnings.append(
            "the model is calibrated on classes that are among these: what its calibration is "
            "worth on others is told as it was measured when the model was made, if it was"
        )
    if crossed is not None:
        warnings.append(
            "each pair was scored by what was fitted to other classes; the map and how typical "
            "images are come from the model itself, which knows most of these classes"
        )
    same_images = right is None or right.folder.items == left.folder.items
    if len(left.folder.group_names) > 1 and same_images and crossed is None:
        try:
            figures["one-shot"] = one_shot(left, network, candidates=right, seed=seed)
        except DataError as error:
            warnings.append(f"one-shot trials were not made: {error}")
    return Measured(
        data=data,
        left=left,
        right=right,
        scored=scored,
        evaluations=tuple(
            Evaluation(protocol=name, data=data, data_digest=digest, figures=found.to_json())
            for name, found in figures.items()
        ),
        wanted=wanted_rates(scored, seed=seed),
        typicality=None if typicality is None else left.typicality(typicality),
        warnings=tuple(entry for entry in warnings if entry),
        calibrated_on=calibrated_on,
    )
