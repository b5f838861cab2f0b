"""Logs as one JSON object a line, on standard error."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

FIELDS = "twinlens"
"""The key under which `extra` carries a record's structured fields."""


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON: time, level, logger, message and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, FIELDS, None)
        if isinstance(fields, dict):
            entry |= fields
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        return orjson.dumps(entry, default=str).decode()


def fields(**values: object) -> dict[str, dict[str, object]]:
    """What to pass as `extra` so that these fields appear in the line."""
    return {FIELDS: values}


def configure(level: str) -> None:
    """Sends every logger's records of that level and above to standard error as JSON.

    What a library would tell of the content of images stays out.
    """
    # Found out anew for every record, and in none of our lines.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At DEBUG it tells what images say of themselves: whom they show, where they were taken.
    logging.getLogger("PIL").setLevel(max(root.level, logging.INFO))
