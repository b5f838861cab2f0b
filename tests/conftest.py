"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of the machine and its load than of the code.
settings.register_profile("twinlens", deadline=None)
settings.load_profile("twinlens")

_REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where they are absent."""
    folder = Path(os.environ.get("TWINLENS_DATA") or _REPOSITORY.parent / "shared" / "data")
    if not (folder / "omniglot").is_dir():
        pytest.skip(f"no data sets at {folder}; set TWINLENS_DATA to their folder")
    return folder
