"""Which images the model knows to be of its own kind."""

from training.pictures.chart import percent
from training.pictures.examples import strange_sheet
from training.report.content import Content, Section
from training.report.html import Html, compact, joined, paragraph, picture

_ALTERNATIVE = "The images that are least typical of the model's kind, the strangest first"


def typicality(content: Content) -> Section:
    """The share of the images that pass, and those that lie farthest out."""
    record, measured = content.manifest.typicality, content.measured
    if record is None:
        told = (
            "The model cannot tell images of its own kind from others: no description of them is "
            "kept with it. Calibrate it on 40 images or more to have one."
        )
        return _section(paragraph(told, class_="quiet"))
    meaning = paragraph(
        "Typicality is the share of the model's own kind of images that lie as far out as an "
        f"image does. From {record.level:g} on it counts as in distribution; described by "
        f"{record.images:,} images of {record.classes:,} classes: {record.data}."
    )
    if measured is None or measured.typicality is None:
        return _section(meaning)
    found = measured.typicality
    passed = int((found >= record.level).sum())
    count = paragraph(
        f"Of the {len(found):,} images here {passed:,} are in distribution "
        f"({percent(passed / len(found))}). The strangest are worth a look: they may be of another "
        "kind, damaged, or in the wrong folder."
    )
    sheet = strange_sheet(found, record.level, measured.left.folder, content.subtitle)
    return _section(joined([meaning, count, picture(compact(sheet), _ALTERNATIVE)]))


def _section(body: Html) -> Section:
    return Section("kinds", "In distribution", body)
