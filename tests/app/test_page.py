"""The page, in a real browser, as somebody uses it who has two images."""

import io
import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from app.security.keys import new_key, write_keys
from model_store import ModelStore
from tests.app.browsing import Balancer, Page, altered, asked, forget
from tests.app.material import CALIBRATION, encode, network, picture, pixels
from tests.app.serving import Running, in_thread, wait_until

# By how many pixels the first preview sticks out of its frame, on the worst side.
OVERHANG = """
    const preview = document.querySelector(".preview");
    const box = preview.getBoundingClientRect();
    const frame = preview.parentElement.getBoundingClientRect();
    return Math.max(frame.left - box.left, frame.top - box.top, box.right - frame.right,
        box.bottom - frame.bottom);
"""


def answer(running: Running, left: Path, right: Path, model: str = "tiny") -> dict:
    files = {"image_a": left.read_bytes(), "image_b": right.read_bytes()}
    return running.client.post("/compare", files=files, data={"model": model}).json()


def shown(told: dict) -> str:
    """How the page gives a score."""
    return f"{told['score']:.3f}"


def test_two_chosen_images_are_compared(page: Page, server: Running, images: list[Path]):
    assert not page.browser.find_element(By.ID, "compare").is_enabled()
    page.choose(0, images[0])
    assert page.text("result") == ""
    for other, decision, side in (
        (images[1], "Different", "below"),
        (images[2], "Same", "above"),
        (images[0], "Same", "above"),
    ):
        page.choose(1, other)
        page.says("figures", shown(answer(server, images[0], other)))
        assert page.text("decision") == decision
        assert f"{side} the threshold, which is set for 1 % false" in page.text("sentence")


def test_another_model_is_asked_at_once(page: Page, server: Running, images: list[Path]):
    page.hand_over("drop", ".slot", *images[:2])
    page.says("figures", "tiny, version 1")
    chosen = Select(page.browser.find_element(By.ID, "model"))
    assert chosen.first_selected_option.text == "tiny (default)"
    chosen.select_by_value("plain")
    page.says("figures", "plain, version 1")
    # It is not calibrated: there is a score, and nothing is decided.
    assert page.text("decision") == "Not decided"
    assert shown(answer(server, *images[:2], "plain")) in page.text("figures")
    assert page.text("gauge") == ""
    assert "order" not in page.text("about")
    # It matters to a model which image is the first, and nothing else on the page says so.
    chosen.select_by_value("sided")
    page.says("about", "the first image is on its left side")


def test_models_that_change_come_and_go_are_listed_anew(
    browser: Chrome, images: list[Path], tmp_path: Path
):
    store = ModelStore(tmp_path)
    store.save("tiny", network(), calibration=CALIBRATION)
    store.save("plain", network("euclidean"))
    store.set_default("tiny")
    with in_thread(tmp_path) as running:

        def loaded(name: str) -> int | None:
            return running.client.get(f"/models/{name}").json().get("version")

        page = Page(browser, running.port)
        page.service_is("ready")
        page.hand_over("drop", ".slot", *images[:2])
        page.says("sentence", "set for 1 % false accepts")
        laxer = CALIBRATION.model_copy(update={"target_far": 0.2})
        store.save("tiny", network(), calibration=laxer)
        store.save("plain", network("euclidean"), calibration=CALIBRATION)
        wait_until(lambda: loaded("tiny") == loaded("plain") == 2)
        # What the old version was calibrated for is said of no other, even if no list is to be had.
        button = browser.find_element(By.ID, "compare")
        with altered(browser, "Network.setBlockedURLs", {"urls": ["*/models"]}, {"urls": []}):
            button.click()
            page.says("figures", "tiny, version 2")
            assert "false accepts" not in page.text("sentence")
        button.click()
        page.says("sentence", "set for 20 % false accepts")
        assert "Calibrated for 20 % false accepts." in page.text("about")
        chosen = Select(browser.find_element(By.ID, "model"))
        chosen.select_by_value("plain")
        page.says("figures", "plain, version 2")
        assert "Calibrated for 1 % false accepts." in page.text("about")
        shutil.rmtree(tmp_path / "plain")
        store.save("later", network())
        wait_until(lambda: loaded("plain") is None and loaded("later") == 1)
        button.click()
        page.says("error-detail", "no model 'plain' is loaded")
        assert page.text("model").split("\n") == ["later", "tiny (default)"]
        # Somebody who comes back to the page needs no error first.
        shutil.rmtree(tmp_path / "later")
        wait_until(lambda: loaded("later") is None)
        here = browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.close()
        browser.switch_to.window(here)
        page.until(lambda: page.text("model") == "tiny (default)")


def test_images_go_where_they_are_dropped_or_pasted(page: Page, images: list[Path]):
    page.hand_over("drop", "[data-slot='1']", images[0])
    assert page.names() == ["No image yet", "picture 0.png"]
    # Into the well that is free, and of two, the second into the other one.
    page.hand_over("paste", "body", images[1])
    assert page.names() == ["picture 1.png", "picture 0.png"]
    page.hand_over("drop", "[data-slot='1']", images[1], images[2])
    assert page.names() == ["picture 2.png", "picture 1.png"]
    # Beside the wells a file is not taken, and the browser does not leave the page for it.
    page.hand_over("drop", "h1", images[0])
    assert page.names() == ["picture 2.png", "picture 1.png"]
    page.browser.find_element(By.CSS_SELECTOR, "[data-slot='0'] .remove").click()
    assert page.names() == ["No image yet", "picture 1.png"]
    assert page.text("result") == ""


def test_a_pair_in_place_of_another_is_compared_once(
    page: Page, server: Running, images: list[Path]
):
    page.hand_over("drop", ".slot", *images[:2])
    page.says("figures", shown(answer(server, *images[:2])))
    forget(page.browser)
    page.hand_over("drop", ".slot", *images[1:])
    page.says("figures", shown(answer(server, *images[1:])))
    assert asked(page.browser).count(f"{page.address}compare") == 1


def test_wells_and_their_buttons_are_told_apart_by_name(page: Page, images: list[Path]):
    page.hand_over("drop", ".slot", images[0], images[0])
    for well, name in enumerate(("first image", "second image")):
        slot = page.browser.find_element(By.CSS_SELECTOR, f"[data-slot='{well}']")
        field = slot.find_element(By.TAG_NAME, "input")
        assert field.accessible_name.lower() == name
        assert field.get_property("value").endswith("picture 0.png")
        assert slot.find_element(By.CLASS_NAME, "remove").accessible_name == f"Remove {name}"


def test_previews_are_whole_whatever_their_shape(page: Page, tmp_path: Path):
    preview = page.browser.find_element(By.CLASS_NAME, "preview")
    for size in ((60, 20), (30, 30), (20, 80), (10, 200)):
        image = tmp_path / f"{size}.png"
        image.write_bytes(encode(pixels(1, *size)))
        page.choose(0, image)
        page.until(lambda width=size[0]: preview.get_property("naturalWidth") == width)
        assert page.browser.execute_script(OVERHANG) <= 0
        assert preview.value_of_css_property("object-fit") == "contain"


def test_what_is_transparent_is_shown_on_white_as_it_is_compared(page: Page, tmp_path: Path):
    clear = tmp_path / "clear.png"
    clear.write_bytes(encode(Image.new("RGBA", (20, 20), (0, 0, 0, 0))))
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    command = "Emulation.setEmulatedMedia"
    with altered(page.browser, command, {"features": features}, {"features": []}):
        page.choose(0, clear)
        preview = page.browser.find_element(By.CLASS_NAME, "preview")
        page.until(lambda: preview.get_property("naturalWidth") == 20)
        seen = Image.open(io.BytesIO(preview.screenshot_as_png)).convert("RGB")
    assert seen.getpixel((seen.width // 2, seen.height // 2)) == (255, 255, 255)


def test_what_is_dropped_and_is_no_file_is_said(page: Page, images: list[Path], tmp_path: Path):
    page.choose(1, images[0])
    page.hand_over("drop", ".slot")
    page.says("error-title", "This is no file")
    # A folder comes as a file does, and only a drag by the browser's own means has one.
    well = page.browser.find_element(By.CSS_SELECTOR, "[data-slot='0'] .well").rect
    place = {"x": well["x"] + well["width"] / 2, "y": well["y"] + well["height"] / 2}
    data = {"items": [], "files": [str(tmp_path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, **place, "data": data}
        page.browser.execute_cdp_cmd("Input.dispatchDragEvent", event)
    page.says("error-title", "This is a folder")
    assert f"“{tmp_path.name}”" in page.text("error-detail")
    assert page.names() == ["No image yet", "picture 0.png"]


def test_what_is_no_image_is_said_with_its_side(page: Page, images: list[Path], tmp_path: Path):
    text = tmp_path / "letter.png"
    text.write_text("Dear reader")
    page.choose(0, images[0])
    page.choose(1, text)
    page.says("error-detail", "Second image: not an image of a type that is read")
    assert page.text("result") == ""
    assert page.text("error-id").startswith("Request ")
    blind = page.browser.find_element(By.CSS_SELECTOR, "[data-slot='1'] .blind")
    assert blind.text == "no preview"
    page.choose(1, images[1])
    page.says("figures", "Probability")
    assert page.text("error") == ""


def test_a_file_that_was_changed_is_named_and_can_be_chosen_again(
    page: Page, server: Running, images: list[Path], tmp_path: Path
):
    edited = tmp_path / "edited.png"
    edited.write_bytes(picture(1))
    page.choose(0, images[1])
    page.choose(1, edited)
    page.says("figures", "Probability")
    edited.write_bytes(picture(9))
    # A second later, so that its time tells it from what it was.
    os.utime(edited, (time.time() + 1,) * 2)
    page.browser.find_element(By.ID, "compare").click()
    page.says("error-detail", "Second image: “edited.png” cannot be read")
    assert page.text("result") == ""
    page.choose(1, edited)
    page.says("figures", shown(answer(server, images[1], edited)))
    assert page.text("error") == ""


def test_the_same_file_can_be_chosen_after_another_and_after_going_back(
    page: Page, images: list[Path]
):
    page.choose(0, images[0])
    page.hand_over("drop", ".slot", images[1])
    page.choose(0, images[0])
    assert page.names() == ["picture 0.png", "No image yet"]
    page.browser.get("about:blank")
    page.browser.back()
    page.service_is("ready")
    assert page.names() == ["No image yet", "No image yet"]
    page.choose(0, images[0])
    assert page.names() == ["picture 0.png", "No image yet"]


def test_a_key_is_asked_for_and_kept_for_the_tab(
    browser: Chrome, store: Path, images: list[Path], tmp_path: Path
):
    secret, record = new_key("page")
    another, other_record = new_key("another")
    write_keys(tmp_path / "keys.json", (record, other_record))
    with in_thread(store, api_keys=tmp_path / "keys.json") as guarded:
        page = Page(browser, guarded.port)
        page.service_is("needs a key")
        assert page.text("error") == ""
        field = browser.find_element(By.ID, "key")
        # No header can hold the sign that stands for the rest of a key.
        field.send_keys("tl_…\n")
        page.says("error-title", "This is no API key")
        assert page.text("service") == "needs a key"
        field.clear()
        field.send_keys("tl_wrong\n")
        page.until(lambda: page.text("error-title") not in {"", "This is no API key"})
        field.clear()
        field.send_keys(f"{secret}\n")
        page.service_is("ready")
        page.hand_over("drop", ".slot", *images[:2])
        page.says("figures", "tiny, version 1")
        # With another key it stays with the chosen model.
        Select(browser.find_element(By.ID, "model")).select_by_value("plain")
        page.says("figures", "plain, version 1")
        forget(browser)
        field.clear()
        field.send_keys(f"{another}\n")
        page.until(lambda: f"{page.address}compare" in asked(browser))
        assert browser.find_element(By.ID, "model").get_property("value") == "plain"
        browser.refresh()
        page.service_is("ready")


def test_a_service_that_is_gone_is_said(browser: Chrome, store: Path, images: list[Path]):
    with in_thread(store) as running:
        page = Page(browser, running.port)
        page.service_is("ready")
        page.hand_over("drop", ".slot", *images[:2])
        page.says("figures", "Probability")
    page.hand_over("drop", ".slot", *images[1:])
    page.says("error-title", "The service cannot be reached")
    assert page.text("result") == ""
    page.service_is("not reachable")


def test_a_balancer_without_a_server_is_not_ready(balanced: Page):
    balanced.service_is("not ready")
    assert balanced.text("about") == ""


def test_a_service_that_goes_and_comes_is_followed(balanced: Page, images: list[Path]):
    Balancer.reached = ("/readyz", "/models")
    balanced.service_is("ready")
    forget(balanced.browser)
    balanced.hand_over("drop", ".slot", *images[:2])
    balanced.says("error-title", "503 Service Unavailable")
    # It looks whether the service is ready, and asks again for nothing that this one refuses.
    time.sleep(0.3)
    urls = asked(balanced.browser)
    for path in ("readyz", "models", "compare"):
        assert urls.count(balanced.address + path) == 1
    assert balanced.text("service") == "ready"
    Balancer.reached = ()
    balanced.browser.find_element(By.ID, "compare").click()
    balanced.service_is("not ready")
    Balancer.reached = ("/",)
    balanced.service_is("ready")
    balanced.says("figures", "Probability")
    assert balanced.text("error") == ""


@pytest.mark.parametrize("path", ["", "docs"])
def test_nothing_is_fetched_from_elsewhere(browser: Chrome, server: Running, path: str):
    browser.get("about:blank")
    forget(browser)
    page = Page(browser, server.port)
    page.service_is("ready")
    if path:
        browser.get(page.address + path)
        page.until(lambda: browser.find_elements(By.CSS_SELECTOR, "main .opblock"))
    urls = set(asked(browser))
    assert len(urls) > 3
    assert all(url.startswith((page.address, "data:", "blob:")) for url in urls)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
