"""What is told on the way."""

import io
import re

import pytest

from training.progress import Reporter, Task


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    return io.StringIO()


def test_names_are_told_as_they_are():
    out = io.StringIO()
    Reporter(out).say("[red]: :smile: [/]")
    assert out.getvalue() == "[red]: :smile: [/]\n"


def test_what_would_move_a_terminal_is_told_as_escapes():
    out = io.StringIO()
    Reporter(out).say("bad\r\x1b[31m\nmore")
    assert out.getvalue() == "bad\\r\\x1b[31m\nmore\n"


def test_so_they_are_on_a_terminal(terminal):
    with Reporter(terminal).task("[old] :key:", 3) as task:
        task.update(3, "[red] :smile: [/]")
    assert "[old] :key:" in terminal.getvalue()
    assert "[red] :smile: [/]" in terminal.getvalue()


@pytest.mark.parametrize(
    ("columns", "title", "bar"),
    [(80, "calibrating, mirrored", True), (40, "calibrating,", False)],
)
def test_what_a_terminal_has_no_room_for_is_the_detail(terminal, monkeypatch, columns, title, bar):
    monkeypatch.setenv("COLUMNS", str(columns))
    with Reporter(terminal).task("calibrating, mirrored", 120, 20) as task:
        task.update(60, "loss 1.757, accuracy 92.9%, 18 images/s, learning rate 8.1e-05")
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()))
    [line] = {line for line in lines if "60/120" in line}
    assert line.startswith(title)
    assert re.search(r" 60/120, \d+ s left · loss.*…$", line)
    assert len(line) <= columns
    assert ("━" in line, "50%" in line) == (bar, bar)


def test_the_time_left_stands_before_the_detail():
    task = Task("training", 120, 20)
    task.update(60, "loss 1.7")
    assert re.fullmatch(r"60/120, \d+ s left, loss 1.7", task.line())
