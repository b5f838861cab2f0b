from app.processes.shares import share_of
from app.settings import Settings
from model_store.cpus import available_cpus

MIB = 1 << 20


def test_what_bounds_the_service_is_divided() -> None:
    share = share_of(
        Settings(
            processes=4,
            queue_images=1000,
            queue_bytes=2000 * MIB,
            cache_bytes=64 * MIB,
            decode_threads=10,
        ),
        "cpu",
    )
    assert share.queue_images == 250
    assert share.queue_bytes == 500 * MIB
    assert share.cache_bytes == 16 * MIB
    assert share.decode_threads == 2


def test_no_share_is_less_than_one_request_may_need() -> None:
    whole = Settings(
        processes=256, max_images=60, max_many_body_bytes=100 * MIB, decode_threads=8, cache_bytes=0
    )
    share = share_of(whole, "cpu")
    assert share.queue_images == 60
    assert share.queue_bytes == 100 * MIB
    assert share.decode_threads == 1
    assert share.cache_bytes == 0
    # The settings' own rules hold for it.
    assert Settings(**share.model_dump()) == share


def test_threads_are_shared_out_of_the_cpus_there_are() -> None:
    assert share_of(Settings(processes=2), "cpu").decode_threads == max(1, available_cpus() // 2)


def test_all_else_is_as_it_was() -> None:
    divided = {"queue_images", "queue_bytes", "cache_bytes", "decode_threads", "max_batch"}
    whole = Settings(processes=3, rate_limit=7, port=1234)
    assert share_of(whole, "cpu").model_dump(exclude=divided) == whole.model_dump(exclude=divided)


def test_batches_are_shared_out_where_their_memory_is_dear() -> None:
    assert share_of(Settings(processes=8), "cuda:0").max_batch == 256 / 8
    assert share_of(Settings(processes=64), "cuda:0").max_batch == 8
    assert share_of(Settings(processes=3, max_batch=4), "cuda:0").max_batch == 4
    assert share_of(Settings(processes=3, max_batch=10), "cpu").max_batch == 10
