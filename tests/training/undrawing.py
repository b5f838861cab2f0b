"""What makes pictures, left out: drawing takes four times as long as the rest."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.training.trees import png


@contextmanager
def without_pictures() -> Iterator[None]:
    """Models without the pictures beside them, and reports with a dot for each of their charts."""
    with pytest.MonkeyPatch.context() as patch:
        publishing = importlib.import_module("training.publishing.publish")
        patch.setattr(publishing, "_pictures", lambda *_: {})
        patch.setattr("training.pictures.chart.to_png", lambda _: png())
        yield
