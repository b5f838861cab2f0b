"""What every test may use."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# How long an example takes says more of the machine and its load than of the code.
settings.register_profile("twinlens", deadline=None)
settings.load_profile("twinlens")

_REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where they are absent."""
    folder = Path(os.environ.get("TWINLENS_DATA") or _REPOSITORY.parent / "shared" / "data")
    if not (folder / "omniglot").is_dir():
        pytest.skip(f"no data sets at {folder}; set TWINLENS_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium here: install Debian's packages chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    with Chrome(options, ChromeService(driver)) as chrome:
        yield chrome
