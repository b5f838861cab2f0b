import pytest

from tests.app.inference.conversions import use_converted


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `use_converted`."""
    use_converted(monkeypatch)
