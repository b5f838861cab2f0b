"""What somebody sees and does in a real browser, and what may stand before the service."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

HAND_OVER = """
    const [kind, selector, files] = arguments;
    const transfer = new DataTransfer();
    for (const { name, data } of files) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: "image/png" }));
    }
    const options = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer });
    document.querySelector(selector).dispatchEvent(event);
"""

NARROW = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
USUAL = {"width": 0, "height": 0, "deviceScaleFactor": 0, "mobile": False}
"""A small phone's screen, and the window again, for Emulation.setDeviceMetricsOverride."""


class Page:
    """What somebody sees and does."""

    def __init__(self, browser: Chrome, port: int) -> None:
        self.browser = browser
        self.address = f"http://127.0.0.1:{port}/"
        browser.get(self.address)

    def text(self, name: str) -> str:
        """What is to be read in one place; nothing where it is hidden."""
        return self.browser.find_element(By.ID, name).text

    def until(self, condition: Callable[[], object]) -> None:
        """Waits for something to come true."""
        waiting = WebDriverWait(self.browser, 20, poll_frequency=0.02)
        waiting.until(lambda _: condition(), "waited in vain")

    def says(self, name: str, what: str) -> None:
        """Waits until something is said in one place, among other things."""
        self.until(lambda: what in self.text(name))

    def service_is(self, state: str) -> None:
        """Waits until this, and nothing more, is said of the service."""
        self.until(lambda: self.text("service") == state)

    def choose(self, well: int, image: Path) -> None:
        """Chooses a file."""
        self.browser.find_elements(By.CSS_SELECTOR, "input[type=file]")[well].send_keys(str(image))

    def names(self) -> list[str]:
        """Of the files in the two wells."""
        texts = [self.text(f"name-{well}") for well in (0, 1)]
        return [text.partition(" · ")[0] for text in texts]

    def hand_over(self, event: str, target: str, *images: Path) -> None:
        """Drops or pastes files, as a browser hands them to the page."""
        files = [
            {"name": image.name, "data": base64.b64encode(image.read_bytes()).decode()}
            for image in images
        ]
        self.browser.execute_script(HAND_OVER, event, target, files)


def asked(browser: Chrome) -> list[str]:
    """The addresses that were asked for since this, or `forget`, was called last."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


@contextmanager
def altered(browser: Chrome, command: str, what: dict, at_the_end: dict) -> Iterator[None]:
    """Has the browser itself behave differently until the block ends."""
    browser.execute_cdp_cmd(command, what)
    try:
        yield
    finally:
        browser.execute_cdp_cmd(command, at_the_end)


def contrast(one: str, other: str) -> float:
    """As WCAG defines it, of two colours such as `rgb(0, 0, 0)`."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def forget(browser: Chrome) -> None:
    """Empties the logs of what was before."""
    for log in ("browser", "performance"):
        browser.get_log(log)


class Balancer(BaseHTTPRequestHandler):
    """Hands on requests for some paths, and answers all others itself, in HTML.

    Attributes:
        client: Of the service behind it.
        reached: What the paths that are handed on begin with.
    """

    client: httpx.Client
    reached: tuple[str, ...]

    def do_GET(self) -> None:
        """As `http.server` calls it."""
        self._hand_on()

    def do_POST(self) -> None:
        """Likewise."""
        self._hand_on()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/" or self.path.startswith(("/static/", *self.reached)):
            headers = {"content-type": self.headers.get("content-type", "")}
            told = self.client.request(self.command, self.path, content=body, headers=headers)
            self._answer(told.status_code, told.headers["content-type"], told.content)
        else:
            self._answer(503, "text/html", b"<h1>No server is available</h1>")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
