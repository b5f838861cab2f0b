"""A front-end that cannot serve, in this process."""

from pathlib import Path

import pytest

from app.exits import EXIT_USAGE
from app.processes import front_end, leash
from app.processes.folder import Folder
from app.settings import SettingsError


def test_why_it_cannot_serve_is_left_to_the_parent_whatever_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SettingsError("é is one name, and \udce9, which is not UTF-8, another")

    # This process's standard input is no pipe from a parent.
    monkeypatch.setattr(leash, "hold", lambda _: None)
    monkeypatch.setattr(front_end, "read_settings", refuse)
    assert front_end.main(tmp_path, 3) == EXIT_USAGE
    said = Folder(tmp_path).refusal(3).read_text("utf-8")
    assert said == r"é is one name, and \udce9, which is not UTF-8, another"
