"""What `make` gives the benchmarks."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from model_store.shipped import SHIPPED

_REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["", "-engines", "-growth", "-peers", "-precision"])
def test_benchmarks_import_into_the_store_that_they_load_from_and_serve(
    tmp_path: Path, target: str
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "$TWINLENS_MODEL_STORE: $*"\n')
    python.chmod(0o755)
    # Set up already, as make sees it.
    for name in (".ready", ".benchmarks"):
        (tmp_path / name).touch()
    ran = subprocess.run(
        ["make", "--silent", f"bench{target}", f"VENV={tmp_path}"],
        cwd=_REPOSITORY,
        env={**os.environ, "TWINLENS_MODEL_STORE": "/the/users"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported, measured = ran.stdout.splitlines()
    assert imported == f"{SHIPPED}: -m model_store import photos"
    assert measured.startswith(f"{SHIPPED}: -m benchmarks.")
