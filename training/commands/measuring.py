"""The protocols as the command line asks for them: figures, and the pictures that go with them."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from training.calibration import unpaired_warnings
from training.commands.material import Bench
from training.data.folders import ImageFolder
from training.data.sources import Skipped
from training.errors import DataError
from training.evaluation.answers import Answers
from training.evaluation.embedding import Sides
from training.evaluation.figures import Figures
from training.evaluation.pairs import ScoredPairs, score_folder
from training.evaluation.protocols.omniglot_runs import omniglot_runs_figures, play_runs
from training.evaluation.protocols.one_shot import one_shot_figures, play
from training.evaluation.protocols.retrieval import retrieval_figures, search
from training.evaluation.protocols.verification import verification_figures
from training.naming import called
from training.pictures.album import PAIRS, score_pictures
from training.pictures.examples import answer_sheet, pair_sheet
from training.pictures.sheet import to_png

OMNIGLOT_RUNS = "omniglot-runs"
ANSWERS_FILE = "answers.png"

Pictures = Callable[[str], dict[str, bytes]]
"""Draws what was measured, under a given subtitle; PNG by file name."""


@dataclass(frozen=True)
class Measured:
    """What a protocol found.

    Attributes:
        figures: Its figures.
        data: What was measured on, in words.
        digest: SHA-256 over the images, or empty.
        pictures: Draws them.
        skipped: Images that could not be used.
        flattered: Whether the model's calibration has seen these classes, so that figures of its
            worth are none for others.
        trained_on: How many of these classes have names that the model was trained on; None where
            that is not known.
    """

    figures: Figures
    data: str
    digest: str
    pictures: Pictures
    skipped: tuple[Skipped, ...] = ()
    flattered: bool = False
    trained_on: int | None = None


def measure(bench: Bench, options: argparse.Namespace) -> Measured:
    """Runs the protocol that `--protocol` names.

    Raises:
        DataError: The data does not allow it.
    """
    if options.protocol == OMNIGLOT_RUNS:
        return _runs(bench, options)
    if options.protocol == "one-shot" and options.gallery is not None:
        raise DataError("one-shot trials are drawn from --data alone; leave --gallery out")
    sides = bench.sides()
    folder = sides.left.folder
    digest = folder.digest()
    flattered = options.protocol == "verification" and bench.calibrated_on(folder)
    if flattered:
        bench.reporter.say(
            "note: the model is calibrated on classes that are among these; its calibration error "
            "and the rates at its threshold are flattering here"
        )
    data = bench.described(folder)
    if sides.gallery is not None:
        gallery = sides.gallery.folder
        data += f"; gallery {gallery.name}: {gallery.described()}"
    figures, pictures = _PROTOCOLS[options.protocol](bench, sides, options)
    trained_on = bench.trained_on(folder)
    return Measured(figures, data, digest, pictures, sides.skipped, flattered, trained_on)


def _verification(
    bench: Bench, sides: Sides, options: argparse.Namespace
) -> tuple[Figures, Pictures]:
    scored = scored_pairs(bench, sides, options)
    for warning in unpaired_warnings(scored):
        bench.reporter.say(f"warning: {warning}")
    calibration = bench.checkpoint.manifest.calibration
    left, right = _folders(sides)

    def pictures(subtitle: str) -> dict[str, bytes]:
        sheet = pair_sheet(scored, left, right, subtitle, calibration=calibration)
        drawn = score_pictures(scored, subtitle, calibration=calibration)
        return {**drawn, PAIRS: to_png(sheet)}

    figures = verification_figures(scored, calibration=calibration, seed=options.seed)
    return figures, pictures


def _retrieval(bench: Bench, sides: Sides, options: argparse.Namespace) -> tuple[Figures, Pictures]:
    with bench.reporter.task("searching", len(sides.left.labels)) as task:
        found = search(sides.left, bench.network, gallery=sides.right, on_progress=task.update)

    def pictures(subtitle: str) -> dict[str, bytes]:
        scored = scored_pairs(bench, sides, options)
        return _answered(bench, scored, found.answers, *_folders(sides), subtitle)

    return retrieval_figures(found, seed=options.seed), pictures


def _one_shot(bench: Bench, sides: Sides, options: argparse.Namespace) -> tuple[Figures, Pictures]:
    played = play(
        sides.left,
        bench.network,
        candidates=sides.right,
        ways=options.ways,
        trials=options.trials,
        seed=options.seed,
    )
    figures = one_shot_figures(played, sides.left.folder.group_names, seed=options.seed)
    if figures.ways < options.ways:
        bench.reporter.say(
            f"note: no group has {options.ways} classes with two images; trials have "
            f"{figures.ways} candidates at most"
        )

    def pictures(subtitle: str) -> dict[str, bytes]:
        folders = _folders(sides)
        return _answered(bench, played.pairs(), played.answers(), *folders, subtitle)

    return figures, pictures


def _runs(bench: Bench, options: argparse.Namespace) -> Measured:
    if options.gallery is not None:
        raise DataError("the runs name their own candidates; leave --gallery out")
    if options.classes != "all":
        raise DataError("the runs name their own classes; leave --classes out")
    played = play_runs(options.data, bench.network, device=bench.device)
    figures = omniglot_runs_figures(played, seed=options.seed)

    def pictures(subtitle: str) -> dict[str, bytes]:
        folders = (played.queries.folder, played.candidates.folder)
        return _answered(bench, played.pairs(), played.answers(), *folders, subtitle)

    return Measured(figures, f"{called(options.data)}: {figures.runs} runs", "", pictures)


_PROTOCOLS: dict[str, Callable[[Bench, Sides, argparse.Namespace], tuple[Figures, Pictures]]] = {
    "verification": _verification,
    "retrieval": _retrieval,
    "one-shot": _one_shot,
}

PROTOCOLS = (*_PROTOCOLS, OMNIGLOT_RUNS)
"""The names that `--protocol` takes."""


def scored_pairs(bench: Bench, sides: Sides, options: argparse.Namespace) -> ScoredPairs:
    """Every genuine pair, and impostor pairs as `--seed` and `--max-impostors` say."""
    return score_folder(
        bench.network,
        sides.left,
        sides.right,
        seed=options.seed,
        max_impostors=options.max_impostors,
    )


def _folders(sides: Sides) -> tuple[ImageFolder, ImageFolder]:
    return sides.left.folder, (sides.right or sides.left).folder


def _answered(
    bench: Bench,
    scored: ScoredPairs,
    answers: Answers,
    queries: ImageFolder,
    candidates: ImageFolder,
    subtitle: str,
) -> dict[str, bytes]:
    calibration = bench.checkpoint.manifest.calibration
    return {
        **score_pictures(scored, subtitle, calibration=calibration),
        ANSWERS_FILE: to_png(answer_sheet(answers, queries, candidates, subtitle)),
    }
