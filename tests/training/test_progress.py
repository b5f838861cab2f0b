"""What is told on the way."""

import io

import pytest

from training.progress import Reporter


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


def test_so_they_are_on_a_terminal(terminal):
    with Reporter(terminal).task("[old] :key:", 3) as task:
        task.update(3, "[red] :smile: [/]")
    assert "[old] :key:" in terminal.getvalue()
    assert "[red] :smile: [/]" in terminal.getvalue()
