import json
import subprocess
import sys

import pytest

from tests.app.serving import REPOSITORY

pytest.importorskip("resource")

SCRIPT = """
import resource, sys
from app import descriptors
soft, hard, descriptors._MOST = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
before = descriptors.most_connections()
descriptors.raise_limit()
soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
print([before, soft, descriptors.most_connections()])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "of_use", "expected"),
    [
        pytest.param(200, 400, 20_000, [180, 400, 360], id="up to the system's limit"),
        pytest.param(200, 400, 300, [180, 300, 270], id="no further than is of use"),
        pytest.param(350, 400, 300, [270, 350, 270], id="never lowered"),
    ],
)
def test_the_limit_is_raised_and_connections_leave_room_for_other_files(
    soft: int, hard: int, of_use: int, expected: list[int]
) -> None:
    """Connections before, the limit afterwards, and connections then: of a process of its own."""
    words = [sys.executable, "-c", SCRIPT, *map(str, (soft, hard, of_use))]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=True)
    assert json.loads(done.stdout) == expected
