"""`python -m training` that is ended while it still imports."""

import os
import signal
import subprocess
import sys

import pytest

# Sends a signal to itself as PyTorch begins to be imported, as if it came from outside just then.
_SIGNALLED = """
import os, runpy, signal, sys

class Signalling:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

signal.signal(signal.SIGINT, {handler})
sys.meta_path.insert(0, Signalling())
sys.argv = ["training", "fit", "--help"]
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""


def ended(number: int, handler: str = "signal.default_int_handler", **environment: str):
    environment = {**os.environ, **environment}
    words = [sys.executable, "-c", _SIGNALLED.format(number=int(number), handler=handler)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_the_words_and_with_the_status_of_later(number):
    done = ended(number)
    assert (done.returncode, done.stderr, done.stdout) == (130, "interrupted\n", "")


def test_a_ctrl_c_that_is_to_be_ignored_is():
    done = ended(signal.SIGINT, "signal.SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--resume" in done.stdout


def test_sigterm_of_torchrun_is_left_as_it_is():
    assert ended(signal.SIGTERM, WORLD_SIZE="2").returncode == -signal.SIGTERM
