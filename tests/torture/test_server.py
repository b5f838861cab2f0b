import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torture import server

SAYS = "import sys; sys.exit('TWINLENS_DEVICE: there is no toaster')"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of one line in place of the service, which takes seconds to say as much."""
    popen = subprocess.Popen

    def started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        assert command[1:] == ["-m", "app"]
        return popen([sys.executable, "-S", "-c", SAYS], **options)

    monkeypatch.setattr(server.subprocess, "Popen", started)


@pytest.mark.usefixtures("stand_in")
def test_a_service_that_does_not_come_up_says_why_where_its_log_is_gone_later(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(RuntimeError, match=r"did not become ready.*\n.*there is no toaster"),
        server.serving(tmp_path),
    ):
        pass
