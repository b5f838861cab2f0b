"""The page for who reads, hears or steers it otherwise than most, in a real browser."""

import io
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from tests.app.browsing import NARROW, USUAL, Balancer, Page, altered, asked, contrast, forget
from tests.app.material import picture

# Where signs of the first image's caption begin, in pixels from the left.
PLACES = """
    const walker = document.createTreeWalker(document.getElementById("name-0"), 4);
    const places = {};
    while (walker.nextNode()) {
        [...walker.currentNode.data].forEach((sign, at) => {
            const range = document.createRange();
            range.setStart(walker.currentNode, at);
            range.setEnd(walker.currentNode, at + 1);
            places[sign] ??= range.getBoundingClientRect().left;
        });
    }
    return places;
"""

COUNT_CHANGES = """
    window.changes = 0;
    const count = (records) => { window.changes += records.length; };
    new MutationObserver(count).observe(document.getElementById("service"), { childList: true });
"""


def test_names_of_files_are_whole_on_a_narrow_page(page: Page, tmp_path: Path):
    with altered(page.browser, "Emulation.setDeviceMetricsOverride", NARROW, USUAL):
        for name in ("IMG_20260611_142355 edited.png", f"{'n' * 200}.png"):
            image = tmp_path / name
            image.write_bytes(picture(1))
            page.choose(0, image)
            page.until(lambda image=image: page.names()[0] == image.name)
            for element in ("#name-0", "html"):
                shown = page.browser.find_element(By.CSS_SELECTOR, element)
                width = shown.get_property("clientWidth")
                assert shown.get_property("scrollWidth") == width


def test_a_score_is_still_drawn_in_the_colours_of_a_reader(page: Page, images: list[Path]):
    features = [{"name": "forced-colors", "value": "active"}]
    command = "Emulation.setEmulatedMedia"
    with altered(page.browser, command, {"features": features}, {"features": []}):
        page.hand_over("drop", ".slot", *images[:2])
        page.says("figures", "Probability")
        for element in (".track", ".tick", ".needle", "#compare"):
            drawn = page.browser.find_element(By.CSS_SELECTOR, element).screenshot_as_png
            seen = Image.open(io.BytesIO(drawn)).convert("L")
            # The page is white then, and what is drawn on it is not.
            assert min(seen.getpixel((place, seen.height // 2)) for place in range(2)) < 128


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edges_of_fields_can_be_seen(page: Page, scheme: str):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    command = "Emulation.setEmulatedMedia"
    with altered(page.browser, command, {"features": features}, {"features": []}):
        ground = page.browser.find_element(By.TAG_NAME, "body")
        for name in ("model", "key"):
            edge = page.browser.find_element(By.ID, name).value_of_css_property("border-top-color")
            # WCAG 2.2, success criterion 1.4.11.
            assert contrast(edge, ground.value_of_css_property("background-color")) >= 3


def live(page: Page) -> set[int]:
    """The elements whose changes screen readers tell."""
    tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return {
        node["backendDOMNodeId"]
        for node in tree
        for attribute in node.get("properties", ())
        if attribute["name"] == "live"
    }


def test_answers_come_where_screen_readers_already_listen(page: Page, images: list[Path]):
    listening = live(page)
    page.hand_over("drop", ".slot", *images[:2])
    page.says("figures", "Probability")
    assert live(page) == listening


def test_a_name_from_right_to_left_leaves_the_size_behind_it(page: Page, tmp_path: Path):
    image = tmp_path / "אבג"
    image.write_bytes(picture(1))
    page.choose(0, image)
    page.until(lambda: page.names()[0] == image.name)
    places = page.browser.execute_script(PLACES)
    assert places["ג"] < places["א"] < places["·"] < places["B"]
    assert all(places[digit] > places["·"] for digit in places if digit.isdigit())


def test_a_state_is_told_once_for_as_long_as_it_lasts(balanced: Page):
    balanced.service_is("not ready")
    balanced.browser.execute_script(COUNT_CHANGES)
    forget(balanced.browser)
    for _ in range(2):
        balanced.until(lambda: f"{balanced.address}readyz" in asked(balanced.browser))
    Balancer.reached = ("/",)
    balanced.service_is("ready")
    assert balanced.browser.execute_script("return window.changes") == 1


def test_text_is_as_large_as_its_reader_wants_it(page: Page):
    # What a reader has set in the browser is the size of the root.
    page.browser.execute_script("document.documentElement.style.fontSize = '32px'")
    lead = page.browser.find_element(By.CLASS_NAME, "lead")
    assert lead.value_of_css_property("font-size") == "32px"
    with altered(page.browser, "Emulation.setDeviceMetricsOverride", NARROW, USUAL):
        html = page.browser.find_element(By.TAG_NAME, "html")
        assert html.get_property("scrollWidth") == html.get_property("clientWidth")
