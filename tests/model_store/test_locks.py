import subprocess
import sys
import threading
from pathlib import Path

from model_store.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from model_store.locks import locked
with locked(Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(600)
"""


def test_a_lock_is_free_once_its_holder_was_killed(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "True\n"
        with locked(tmp_path, wait=False) as held:
            assert not held
        holder.kill()
    with locked(tmp_path, wait=False) as held:
        assert held


def test_threads_take_turns_too(tmp_path: Path):
    file = tmp_path / "count"
    file.write_text("0")

    def count() -> None:
        for _ in range(50):
            with locked(tmp_path):
                file.write_text(str(int(file.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() == "400"
