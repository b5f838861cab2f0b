"""A report on small screens, in the dark and on paper, in a real browser."""

import base64
import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.app.browsing import NARROW, USUAL, altered, contrast
from training.report.html import Html, bullets, element, joined, paragraph, picture
from training.report.markdown import inline
from training.report.style import STYLE


@pytest.fixture
def shown(browser: Chrome) -> Callable[..., None]:
    """Shows what stands in a section of a report."""

    def show(*children: Html, above: Html | None = None) -> None:
        head = element("meta", name="viewport", content="width=device-width").text
        body = joined([*filter(None, [above]), element("main", element("section", *children))])
        whole = f"<!doctype html>{head}<style>{STYLE}</style>{body.text}".encode()
        browser.get(f"data:text/html;base64,{base64.b64encode(whole).decode()}")

    return show


def test_long_paths_do_not_widen_a_page(browser: Chrome, shown: Callable[..., None]):
    long = f"`--data {'folder/' * 20}`"
    with altered(browser, "Emulation.setDeviceMetricsOverride", NARROW, USUAL):
        shown(paragraph(inline(long)), bullets([inline(long)]))
        page = browser.find_element(By.TAG_NAME, "html")
        assert page.get_property("scrollWidth") == page.get_property("clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_struck_out_can_be_read(browser: Chrome, shown: Callable[..., None], scheme: str):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    with altered(browser, "Emulation.setEmulatedMedia", {"features": features}, {"features": []}):
        shown(element("span", "0.5", class_="untold"))
        text = browser.find_element(By.CLASS_NAME, "untold")
        ground = browser.find_element(By.TAG_NAME, "section")
        assert text.value_of_css_property("opacity") == "1"
        # WCAG 2.2, success criterion 1.4.3.
        colours = (
            text.value_of_css_property("color"),
            ground.value_of_css_property("background-color"),
        )
        assert contrast(*colours) >= 4.5


# From here on the links stay in sight; those of a report are as long as seven of the longest.
JUST_STICKY = {**NARROW, "width": 620, "mobile": False}
TOP = "return document.querySelector('h2').getBoundingClientRect().top"
BOTTOM = "return document.querySelector('nav').getBoundingClientRect().bottom"


def test_headings_are_not_behind_the_links_that_lead_to_them(
    browser: Chrome, shown: Callable[..., None]
):
    nav = element("nav", bullets(["Map of embeddings"] * 7))
    filling = [paragraph("text")] * 40
    part = element("section", element("h2", "Map of embeddings"), *filling)
    with altered(browser, "Emulation.setDeviceMetricsOverride", JUST_STICKY, USUAL):
        shown(*filling, part, above=nav)
        go = "document.querySelector('section section').scrollIntoView({ behavior: 'instant' })"
        browser.execute_script(go)
        assert 60 < browser.execute_script(BOTTOM) <= browser.execute_script(TOP) < 320


def test_nothing_glides_for_who_wants_no_motion(browser: Chrome, shown: Callable[..., None]):
    command = "Emulation.setEmulatedMedia"
    for wish, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        features = [{"name": "prefers-reduced-motion", "value": wish}]
        with altered(browser, command, {"features": features}, {"features": []}):
            shown(paragraph("text"))
            html = browser.find_element(By.TAG_NAME, "html")
            assert html.value_of_css_property("scroll-behavior") == behaviour


@pytest.mark.parametrize("width", [8.27, 8.5])
def test_a_tall_picture_is_on_one_sheet_of_paper(
    browser: Chrome, shown: Callable[..., None], width: float
):
    file = io.BytesIO()
    Image.new("RGB", (900, 1620)).save(file, "PNG")
    shown(element("h2", "Worst pairs"), picture(file.getvalue(), "pairs"))
    paper = {"paperWidth": width, "paperHeight": 11.69 if width == 8.27 else 11}
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert len(re.findall(rb"/Type */Page\b", printed)) == 1


def test_text_is_as_large_as_its_reader_wants_it(browser: Chrome, shown: Callable[..., None]):
    shown(paragraph("text"))
    # What a reader has set in the browser is the size of the root.
    browser.execute_script("document.documentElement.style.fontSize = '32px'")
    assert browser.find_element(By.TAG_NAME, "p").value_of_css_property("font-size") == "32px"
