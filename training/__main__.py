"""`python -m training`."""

import os
import sys

from training.cli import main

status = main()
if "TORCHELASTIC_RUN_ID" in os.environ:
    # Started by torchrun, beside others. What torch leaves running for the talk between processes
    # sometimes aborts the interpreter's end, and torchrun would then count good work as failed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
