"""What lands on standard error."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.app.serving import REPOSITORY

SAYS = """
import logging, pathlib
from app.observability import logs
logging.basicConfig()
logs.configure(LEVEL)
logger = logging.getLogger("some.module")
logger.debug("much")
logger.info("told %s of %d", "one", 2, extra=logs.fields(path=pathlib.Path("/a"), models={"x": 1}))
try:
    raise ValueError("what is wrong")
except ValueError:
    logger.exception("it failed")
"""


LOOKS = """
import io, logging
from PIL import Image
from app.observability import logs
logs.configure(LEVEL)
file = io.BytesIO()
Image.new("L", (4, 4)).save(file, "TIFF", tiffinfo={0x010E: "Jane Doe"})
with Image.open(file) as image:
    assert image.tag_v2[0x010E] == "Jane Doe"
logging.getLogger("PIL.Image").info("told")
logging.getLogger("PIL.Image").warning("warned")
"""


def said(level: str, program: str = SAYS) -> list[dict[str, object]]:
    """The lines of a process that logs at that level."""
    done = subprocess.run(
        [sys.executable, "-c", program.replace("LEVEL", repr(level))],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b""
    return [orjson.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_an_object_with_the_records_own_fields() -> None:
    told, failed = said("info")
    time = told.pop("time")
    assert isinstance(time, str)
    assert time.endswith("+00:00")
    # What JSON has no form for is written as text, and ends no request.
    assert told == {
        "level": "info",
        "logger": "some.module",
        "message": "told one of 2",
        "path": str(Path("/a")),
        "models": {"x": 1},
    }
    assert (failed["level"], failed["message"]) == ("error", "it failed")
    exception = str(failed["exception"])
    assert exception.startswith("Traceback")
    assert "ValueError: what is wrong" in exception


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        ("debug", ["much", "told one of 2", "it failed"]),
        ("info", ["told one of 2", "it failed"]),
        ("warning", ["it failed"]),
    ],
)
def test_what_is_below_the_level_is_not_logged(level: str, messages: list[str]) -> None:
    assert [line["message"] for line in said(level)] == messages


@pytest.mark.parametrize(
    ("level", "messages"), [("debug", ["told", "warned"]), ("warning", ["warned"])]
)
def test_what_images_say_of_themselves_is_not_logged(level: str, messages: list[str]) -> None:
    assert [line["message"] for line in said(level, LOOKS)] == messages
