"""The tools that know best whether a file is right. `make deploy-lint` installs what pip has."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"


def program(name: str) -> str:
    """Where a tool lies; skips the test where it is not to be had."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/sbin") or shutil.which(
        name
    )
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def tool(name: str, *arguments: object) -> str:
    """What a tool prints, run in the repository; fails with all it says if its status is not 0.

    Skips the test where the tool is not to be had.
    """
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
