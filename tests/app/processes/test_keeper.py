from app.processes.keeper import Patience


def test_what_dies_young_is_started_later_each_time() -> None:
    patience = Patience(settled_seconds=10, shortest=0.5, longest=3)
    delays, delay = [], 0.0
    for _ in range(5):
        delay = patience.delay(lived=1.0, before=delay)
        delays.append(delay)
    assert delays == [0.5, 1, 2, 3, 3]
    assert patience.delay(lived=10.0, before=delay) == 0
