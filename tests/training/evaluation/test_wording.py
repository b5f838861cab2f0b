import pytest

from training.evaluation.wording import decimal, plain, rows_of


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"),
        (1.0, "1.0000"),
        (0.99606, "0.9961"),
        (0.12345, "0.1235"),
        (0.05, "0.0500"),
        (0.0033428, "0.00334"),
        (0.000019843, "0.0000198"),
        (-0.00012, "-0.000120"),
        (1.23e-6, "0.00000123"),
        (5.49e-12, "0.0000"),
    ],
)
def test_small_rates_have_three_digits(value, shown):
    assert decimal(value) == plain(value) == shown


def test_a_small_rate_is_told_with_its_interval():
    figures = {"far": 0.0000198, "far_interval": [0.0, 0.000104], "pairs": 71500}
    assert list(rows_of(figures)) == [
        ("far", "0.0000198", "0.0000 – 0.000104"),
        ("pairs", "71,500", ""),
    ]
