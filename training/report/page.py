"""The whole page: one file, nothing from outside, no scripts."""

from collections.abc import Callable
from importlib.metadata import version

from training.report.content import Content, Section
from training.report.html import Html, element, joined, paragraph
from training.report.sections import data, kinds, model, records, results
from training.report.style import STYLE

_SECTIONS: tuple[Callable[[Content], Section], ...] = (
    model.summary,
    records.warnings,
    data.data,
    data.split,
    results.training,
    results.separation,
    results.calibration,
    results.thresholds,
    results.worst,
    kinds.typicality,
    results.landscape,
    records.figures,
    records.start,
    records.card,
)

# A browser then fetches nothing and runs nothing, whatever the names in the data say.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(content: Content, told: Callable[[int], None] | None = None) -> bytes:
    """The report as one HTML file.

    Args:
        content: What it tells.
        told: Called with the number of sections that are done.
    """
    sections = []
    for position, make in enumerate(_SECTIONS, 1):
        sections.append(make(content))
        if told is not None:
            told(position)
    name = content.manifest.name
    links = [element("li", element("a", part.title, href=f"#{part.key}")) for part in sections]
    body = joined(
        [
            element(
                "header",
                paragraph("Twinlens report"),
                element("h1", name, " ", element("span", f"version {content.manifest.version}")),
                class_="top",
            ),
            element("nav", element("ul", *links), aria_label="Sections"),
            element("main", *(_section(part) for part in sections)),
            element(
                "footer",
                f"Made on {content.made:%Y-%m-%d %H:%M} UTC by Twinlens {version('twinlens')}, "
                f"seed {content.seed}. All intervals are at 95 % confidence.",
            ),
        ]
    )
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", f"{content.title}: report"),
            Html(f"<style>{STYLE}</style>"),
        ]
    )
    page = f'<!doctype html><html lang="en"><head>{head.text}</head>'
    return f"{page}<body>{body.text}</body></html>\n".encode()


def _section(part: Section) -> Html:
    return element("section", element("h2", part.title), part.body, id=part.key)


TOTAL = len(_SECTIONS)
"""Sections of a page."""
