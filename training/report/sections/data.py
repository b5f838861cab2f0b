"""The images: how many, which of them served what, and what some of them look like."""

import numpy as np

from model_store.network import Side
from training.data.folders import ImageFolder
from training.data.split import Split, told_of_start
from training.report.content import Content, Section
from training.report.html import (
    Child,
    Html,
    bullets,
    compact,
    details,
    element,
    joined,
    paragraph,
    picture,
    table,
)
from training.report.measurements import Measured
from training.report.sheets import CLASSES, sample_sheet

_MEASURED = "measured for this report"
_NAMED = 500
_SKIPPED = 200


def data(content: Content) -> Section:
    """How much there is, and a sheet of pictures."""
    body: list[Child] = []
    folders = [(part.title, part.folder) for part in content.located.parts]
    if content.measured is not None:
        folders.append((_MEASURED, content.measured.left.folder))
    if content.manifest.provenance.data:
        body.append(paragraph(f"Trained on {content.manifest.provenance.data}."))
    if folders:
        headings = ("", "images", "classes", "groups", "images a class", "median")
        counted = [row for part in content.located.parts for row in _sides(part.title, part.folder)]
        if content.measured is not None:
            counted += _measured(content.measured)
        body.append(table(headings, [_counts(*row) for row in counted]))
    if content.beside.skipped:
        body.append(_skipped(content.beside.skipped))
    shown: list[ImageFolder] = []
    for title, folder in folders:
        # What was measured is often one of the parts, or of it, and need not be seen twice.
        if any(_within(folder, other) for other in shown):
            continue
        shown.append(folder)
        sheet = sample_sheet(
            title[:1].upper() + title[1:],
            f"{folder.name}: {folder.described()}; after a class, its images",
            folder,
            seed=content.seed,
        )
        count = min(CLASSES, len(folder.classes))
        body.append(picture(compact(sheet), f"Some images of {count} classes: {title}"))
    if content.located.note:
        body.append(paragraph(content.located.note, class_="quiet"))
    if not folders:
        body.append(
            paragraph(
                "To see some here: ",
                element("code", content.with_data),
                class_="quiet",
            )
        )
    return Section("data", "Data", joined(body))


def _within(folder: ImageFolder, other: ImageFolder) -> bool:
    keys = {item.key for item in other.items}
    return folder.source == other.source and all(item.key in keys for item in folder.items)


def split(content: Content) -> Section:
    """Which classes trained, validated and calibrated the model."""
    found = content.beside.split
    if found is None:
        told = "No split is kept with this model."
        return Section("split", "Split", paragraph(told, class_="quiet"))
    whole = "whole groups of classes" if found.unit == "group" else "classes"
    drawn = f"Drawn by {whole}, never by image, with seed {found.seed}"
    if found.holdout_digest:
        drawn = (
            "What validates and calibrates was set aside in the data, and is shared out by "
            f"{whole}, with seed {found.seed}"
        )
    new = ": what judges the model it has not learnt from." if found.all_new else "."
    body: list[Child] = [
        paragraph(drawn + new),
        table(("", "classes", "groups"), [_part(*part) for part in _parts(found)]),
    ]
    if found.crossed:
        body.append(
            paragraph(
                "All of them calibrate and judge: some are left out at a time, what is fitted is "
                "fitted to the others, and the pairs of those left out are scored."
            )
        )
    if found.seen:
        body.append(
            paragraph(
                f"{len(found.seen):,} classes that validate or calibrate have the names of "
                "classes trained on: the data came split by image, and the figures are for "
                "classes the model knows.",
                class_="warning",
            )
        )
    if known := told_of_start({*found.validation, *found.calibration}, found.start_learnt):
        body.append(paragraph(f"{known[:1].upper()}{known[1:]}.", class_="warning"))
    for title, names in _parts(found):
        if names:
            rest = len(names) - _NAMED
            more = f", … and {rest:,} more" if rest > 0 else ""
            listed = ", ".join(names[:_NAMED]) + more
            body.append(details(f"{title}: {len(names):,} classes", paragraph(listed)))
    return Section("split", "Split", joined(body))


def _parts(found: Split) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("train", found.train),
        ("validation", found.validation),
        ("calibration", found.calibration),
    ]


def _part(title: str, names: tuple[str, ...]) -> tuple[str, str, str]:
    groups = {name.split("/")[0] for name in names if "/" in name}
    return title, f"{len(names):,}", f"{len(groups):,}" if groups else "–"


def _sides(title: str, folder: ImageFolder) -> list[tuple[str, ImageFolder]]:
    """The rows of a folder: one of each side, where its images know theirs."""
    if not folder.two_sided:
        return [(title, folder)]
    return [(f"{title}, {side}", folder.on(side)) for side in Side]


def _measured(measured: Measured) -> list[tuple[str, ImageFolder]]:
    left, right = measured.left.folder, measured.right
    if right is None or not right.folder.two_sided:
        return _sides(_MEASURED, left)
    return [(f"{_MEASURED}, {Side.LEFT}", left), (f"{_MEASURED}, {Side.RIGHT}", right.folder)]


def _counts(title: str, folder: ImageFolder) -> tuple[str, ...]:
    each = np.bincount(folder.labels, minlength=len(folder.classes))
    groups = len(folder.group_names)
    return (
        title,
        f"{len(folder.items):,}",
        f"{len(folder.classes):,}",
        f"{groups:,}" if groups > 1 else "–",
        f"{each.min():,} – {each.max():,}",
        f"{float(np.median(each)):g}",
    )


def _skipped(skipped: tuple[tuple[str, str], ...]) -> Html:
    entries = [f"{key}: {reason}" for key, reason in skipped[:_SKIPPED]]
    if len(skipped) > _SKIPPED:
        entries.append(f"… and {len(skipped) - _SKIPPED:,} more")
    return details(f"{len(skipped):,} not used in training", bullets(entries))
