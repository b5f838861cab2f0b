import pytest

from model_store.errors import StoreError, first_line


@pytest.mark.parametrize(
    ("said", "line"), [("lost\n\nat f.c:3", "lost"), ("lost", "lost"), ("", "StoreError")]
)
def test_of_what_an_error_says_the_first_line_is_told(said: str, line: str):
    assert first_line(StoreError(said)) == line
