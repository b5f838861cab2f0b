"""Where the data sets are."""

import os
from pathlib import Path

_REPOSITORY = Path(__file__).parents[1]


def data_folder() -> Path:
    """What `TWINLENS_DATA` names, or else `shared/data` beside the repository."""
    return Path(os.environ.get("TWINLENS_DATA") or _REPOSITORY.parent / "shared" / "data")
