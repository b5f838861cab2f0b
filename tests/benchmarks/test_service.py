import pytest

from benchmarks.service import server


def test_a_service_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(SystemExit, match=r"become ready.*\n.*TWINLENS_DEVICE.*toaster"),
        server(device="toaster"),
    ):
        pass
