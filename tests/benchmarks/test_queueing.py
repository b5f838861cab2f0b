"""The simulation against what queueing theory and a pencil say."""

import statistics

import pytest

from benchmarks.deployment.capacity import fit
from benchmarks.deployment.queueing import Replica, arrivals, simulate


def test_a_lone_request_takes_one_batch():
    assert simulate(Replica(0.01, 0.02), 1, [0.0]) == [pytest.approx(0.05)]


def test_by_hand_what_waits_becomes_one_batch():
    # Batches of 1 + n seconds: the first pair ends at 3; those of 1 and 2 wait and end at 3 + 5.
    assert simulate(Replica(1, 1), 1, [0.0, 1.0, 2.0]) == [3, 7, 6]


def test_by_hand_a_request_may_be_split_over_batches():
    # At most 3 images: the second batch holds one request whole and half of the next.
    assert simulate(Replica(0, 1, max_batch=3), 1, [0.0, 1.0, 1.5]) == [2, 4, 4.5]


def test_by_hand_the_replica_with_the_fewest_in_work_is_taken():
    assert simulate(Replica(0, 1), 2, [0.0, 0.5, 1.0, 2.25]) == [2, 2, 3, 2.25]


def test_the_mean_wait_is_pollaczek_and_khinchine_s():
    # M/D/1: ρ s / (2 (1 - ρ)), here with s = 1 and ρ = 0.7.
    taken = simulate(Replica(0, 1, max_batch=1), 1, arrivals(0.7, 200_000, seed=1), images=1)
    assert statistics.fmean(taken) - 1 == pytest.approx(0.7 / 0.6, rel=0.03)


def test_below_capacity_even_arrivals_never_wait_long_and_above_it_ever_longer():
    replica = Replica(0.005, 0.02, max_batch=8)
    for replicas in (1, 2, 4):
        rate = replicas * replica.capacity()
        below = simulate(replica, replicas, arrivals(0.9 * rate, 2000, None))
        above = simulate(replica, replicas, arrivals(1.2 * rate, 2000, None))
        assert max(below) < 3 * replica.seconds(8)
        assert above[-1] > 1.9 * above[len(above) // 2] > 4 * max(below)


def test_more_replicas_at_the_same_load_each_wait_less():
    replica = Replica(0.005, 0.02)
    rate = 0.8 * replica.capacity()
    p99 = [
        statistics.quantiles(simulate(replica, n, arrivals(n * rate, 20_000, seed=3)), n=100)[98]
        for n in (1, 2, 4)
    ]
    assert p99[0] > p99[1] > p99[2]


def test_half_of_the_cpus_is_half_the_capacity():
    replica = Replica(0.004, 0.02)
    assert replica.slowed(2).capacity() == pytest.approx(replica.capacity() / 2)
    assert replica.capacity() == pytest.approx(8 / (0.004 + 0.16) / 2)


def test_arrivals_are_as_many_and_as_often_as_told():
    times = arrivals(50, 20_000, seed=5)
    assert times == sorted(times) == arrivals(50, 20_000, seed=5)
    assert times[-1] == pytest.approx(400, rel=0.03)
    assert arrivals(4, 3, None) == [0, 0.25, 0.5]


@pytest.mark.parametrize("replica", [Replica(0.01, 0.02), Replica(0.0, 0.03)])
def test_a_replica_is_found_again_from_what_it_shows(replica):
    found = fit(replica.seconds(2), replica.capacity())
    assert found.batch_seconds == pytest.approx(replica.batch_seconds, abs=1e-9)
    assert found.image_seconds == pytest.approx(replica.image_seconds)
