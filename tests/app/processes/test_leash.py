import os
import subprocess
import sys
from pathlib import Path

from tests.app.serving import REPOSITORY


def test_a_module_runs_as_if_alone_and_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text(
        "import sys, threading\n"
        "print(__name__, sys.argv[1:], flush=True)\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "app.processes.leash", "idle", "one", "two"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "__main__ ['one', 'two']\n"
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(30) == 1
