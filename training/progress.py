"""Telling how far things are: one live line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
from rich.progress import Task as RichTask
from rich.table import Column
from rich.text import Text

from training.naming import one_line

_LINES_EVERY = 10.0
"""Seconds between two lines of one task where the stream is no terminal."""
# Columns of a terminal; fewer have no room for a bar and a percentage beside the count.
_WITH_BAR = 72


class Task:
    """Something with a known number of parts.

    Args:
        title: What it is.
        total: Its parts.
        start: Parts done before, by an earlier run.
    """

    def __init__(self, title: str, total: int, start: int = 0) -> None:
        self.title = title
        self.total = total
        self.done = start
        self.detail = ""
        self._start = start
        self._began = time.monotonic()

    def update(self, done: int, detail: str = "") -> None:
        """Sets the parts done, and what else there is to say."""
        self.done = done
        self.detail = detail or self.detail

    def close(self) -> None:
        """Ends the showing."""

    def time_left(self) -> str:
        """At the pace so far, in words; empty while nothing is done."""
        advanced = self.done - self._start
        if advanced <= 0 or self.done >= self.total:
            return ""
        elapsed = time.monotonic() - self._began
        return f"{duration(elapsed / advanced * (self.total - self.done))} left"

    def count(self) -> str:
        """How much is done, and how long the rest will take."""
        return ", ".join(part for part in (f"{self.done}/{self.total}", self.time_left()) if part)

    def line(self) -> str:
        """All of it in one line."""
        return ", ".join(part for part in (self.count(), self.detail) if part)


class Reporter:
    """Where a long command tells what it does.

    Args:
        stream: The terminal or file.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, highlight=False, soft_wrap=True, emoji=False)

    def say(self, text: str) -> None:
        """Writes a line of its own, or several."""
        self._console.print("\n".join(map(one_line, text.split("\n"))), markup=False)

    @contextmanager
    def task(self, title: str, total: int, start: int = 0) -> Iterator[Task]:
        """Shows a task while it is entered."""
        task: Task
        if self._console.is_terminal:
            task = _LiveTask(title, total, start, self._console)
        else:
            task = _LineTask(title, total, start, self)
        try:
            yield task
        finally:
            task.close()


class _LineTask(Task):
    def __init__(self, title: str, total: int, start: int, reporter: Reporter) -> None:
        super().__init__(title, total, start)
        self._reporter = reporter
        self._told_at = time.monotonic()
        self._told = start

    def update(self, done: int, detail: str = "") -> None:
        super().update(done, detail)
        if time.monotonic() - self._told_at >= _LINES_EVERY:
            self._tell()

    def close(self) -> None:
        if self.done != self._told:
            self._tell()

    def _tell(self) -> None:
        self._told_at, self._told = time.monotonic(), self.done
        self._reporter.say(f"{self.title}: {self.line()}")


class _LiveTask(Task):
    def __init__(self, title: str, total: int, start: int, console: Console) -> None:
        super().__init__(title, total, start)
        bar = [BarColumn(bar_width=min(24, console.width // 5)), TaskProgressColumn()]
        title_column = Column(no_wrap=True, max_width=max(1, console.width // 3))
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=title_column),
            *(bar if console.width >= _WITH_BAR else []),
            TextColumn("{task.fields[count]}", markup=False),
            _Detail(),
            console=console,
            refresh_per_second=4,
        )
        self._id = self._progress.add_task(
            title, total=total, completed=start, count=self.count(), detail=""
        )
        self._progress.start()

    def update(self, done: int, detail: str = "") -> None:
        super().update(done, detail)
        self._progress.update(self._id, completed=done, count=self.count(), detail=self.detail)

    def close(self) -> None:
        self._progress.stop()


class _Detail(ProgressColumn):
    """What else there is to say: the only column that gives way where there is no room."""

    def render(self, task: RichTask) -> Text:
        detail = task.fields["detail"]
        return Text(f"· {detail}" if detail else "", no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """A length of time in words, to two units."""
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
