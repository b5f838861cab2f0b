import pytest

from model_store.typicality import in_distribution


@pytest.mark.parametrize(
    ("level", "typicality", "expected"),
    [
        (0.02, (0.02, 0.9), True),
        (0.02, (0.0199, 0.9), False),
        (0.02, (0.9, None), None),
        (0.02, (0.01, None), False),
        (0.02, (None, None), None),
        (None, (None, None), None),
        (0.02, (), None),
    ],
)
def test_in_distribution(level, typicality, expected) -> None:
    assert in_distribution(level, *typicality) is expected
