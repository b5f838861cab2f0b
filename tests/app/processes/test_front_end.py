"""A front-end that cannot serve, and one that is signalled, in this process."""

import os
import signal
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from app.exits import EXIT_USAGE
from app.processes import front_end, leash
from app.processes.folder import Folder
from app.settings import SettingsError


@pytest.mark.parametrize("kind", [SettingsError, OSError])
def test_why_it_cannot_serve_is_left_to_the_parent_whatever_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def refuse() -> None:
        raise kind("é is one name, and \udce9, which is not UTF-8, another")

    # This process's standard input is no pipe from a parent.
    monkeypatch.setattr(leash, "hold", lambda _: None)
    monkeypatch.setattr(front_end, "read_settings", refuse)
    assert front_end.main(tmp_path, 3) == EXIT_USAGE
    said = Folder(tmp_path).refusal(3).read_text("utf-8")
    assert said == r"é is one name, and \udce9, which is not UTF-8, another"


def test_a_signal_ends_who_does_not_listen_yet_and_drains_who_does_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    server = front_end.FrontEndServer(uvicorn.Config(FastAPI()), 1.0, 0)
    with pytest.raises(SystemExit) as left:
        server.handle_exit(signal.SIGTERM, None)
    assert left.value.code == 0
    assert not server.draining
    server.started = True
    for _ in range(2):
        server.handle_exit(signal.SIGTERM, None)
        assert server.draining
