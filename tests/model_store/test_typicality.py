from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save as save_tensors

from model_store import ModelStore
from model_store.errors import CheckpointDamaged, StoreError
from model_store.network import Side
from model_store.typicality import (
    LEAST,
    ClassCentres,
    Pixels,
    Residuals,
    SideTypicality,
    Subspace,
    Typicality,
    TypicalityRecord,
    combine,
    from_bytes,
    pixel_statistics,
    record_of,
    tail_share,
    to_bytes,
)
from model_store.typicality.pixels import COUNT
from tests import tiny

HUNDRED = np.arange(100.0)


def side(dimension: int = 4, seed: int = 0) -> SideTypicality:
    """A description with two directions, which lie in memory as eigenvectors do: transposed."""
    directions = np.zeros((dimension, 2), np.float32)
    directions[:3, 0], directions[:3, 1] = (0.6, 0.8, 0), (-0.8, 0.6, 0)
    directions = directions.T
    centre = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    return SideTypicality(
        Residuals(
            Subspace(centre, directions), Subspace(np.zeros(dimension, np.float32), directions)
        ),
        centre=np.array([1.0, 0.1, 0.5]),
        spread=np.array([0.5, 0.2, 1.0]),
        reference=HUNDRED / 25,
        pixels=Pixels(np.zeros(COUNT, np.float32), np.eye(COUNT, dtype=np.float32)),
    )


def statistics(images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(images, COUNT)).astype(np.float32)


def description(dimension: int = 4) -> Typicality:
    return Typicality({Side.LEFT: side(dimension)}, 0.02, 100, 10, "drawn", "")


def test_the_share_counts_how_many_lie_as_far() -> None:
    """Of 0 … 99: at 50, the 50 from 50 on, so 51 / 101; at 0 all of them; below 0 too."""
    found = tail_share(HUNDRED, np.array([50.0, 50.5, 0.0, -3.0, 89.0]))
    assert found.tolist() == pytest.approx([51 / 101, 50 / 101, 1, 1, 12 / 101])


def test_beyond_the_tenth_farthest_the_tail_is_exponential() -> None:
    """The tenth farthest is 90, and the nine beyond it exceed it by 5 in the mean."""
    found = tail_share(HUNDRED, np.array([90.0, 95.0, 100.0, 1e6]))
    assert found.tolist() == pytest.approx(
        [11 / 101, 11 / 101 / np.e, 11 / 101 / np.e**2, LEAST], rel=1e-9
    )


def test_of_images_of_the_kind_the_tail_holds_the_share_that_it_says() -> None:
    """Over 2,000 descriptions by 60 images whose distances fall off exponentially.

    With the edge itself among the excesses the scale is a tenth too short, and this is 0.055.
    """
    generator = np.random.default_rng(0)
    below = [
        tail_share(np.sort(generator.exponential(size=60)), generator.exponential(size=500)) < 0.05
        for _ in range(2000)
    ]
    assert np.mean(below) == pytest.approx(0.05, abs=0.002)


def test_where_all_lie_as_far_rounding_beyond_them_is_no_sign_of_another_kind() -> None:
    """The excesses are 0; a scale of two millionths takes a ten-millionth for a twentieth of it."""
    near, far = tail_share(np.ones(50), np.array([1 + 1e-7, 1.1]))
    assert near == pytest.approx(11 / 51 * np.exp(-0.05))
    assert far == LEAST


def test_a_residual_is_what_no_direction_explains() -> None:
    subspace = Subspace(np.array([1, 1, 1], np.float32), np.array([[1, 0, 0]], np.float32))
    rows = np.array([[9, 1, 1], [1, 4, 5], [7, 4, 5]], np.float32)
    assert subspace.residual(rows).tolist() == pytest.approx([0, 5, 5])


def test_rounding_never_makes_a_measure_no_number() -> None:
    """Within the subspace, where squares cancel, and along a class, whose cosine may exceed 1."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(16, 8)))[0].T.astype(np.float32)
    rows = (1000 * generator.normal(size=(100, 8)) @ directions).astype(np.float32)
    residuals = Subspace(np.zeros(16, np.float32), directions).residual(rows)
    assert residuals == pytest.approx(np.zeros(100), abs=5)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert ClassCentres(unit).of(rows)[:, 1] == pytest.approx(np.zeros(100), abs=2e-3)


def test_only_what_exceeds_the_median_counts() -> None:
    """(2 − 1) / 0.5 = 2 and (0.4 − 0.1) / 0.2 = 1.5: √(4 + 2.25) = 2.5."""
    found = combine(
        np.array([[2, 0.4], [0, 0.4], [0, 0]]), np.array([1, 0.1]), np.array([0.5, 0.2])
    )
    assert found.tolist() == pytest.approx([2.5, 1.5, 0])


@given(st.integers(11, 300), st.integers(0, 1000))
def test_shares_fall_with_distance_and_stay_in_bounds(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference = np.sort(generator.exponential(size=count).round(1))
    distances = np.sort(generator.exponential(3, size=50))
    shares = tail_share(reference, distances)
    assert (np.diff(shares) <= 0).all()
    assert (shares >= LEAST).all()
    assert (shares <= 1).all()


def test_an_image_is_judged_alone_as_among_others() -> None:
    rows = np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32)
    looks = statistics(16)
    together = description().of(rows, looks)
    alone = np.concatenate(
        [description().of(row[None], look[None]) for row, look in zip(rows, looks, strict=True)]
    )
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_the_calibrations_own_images_are_uniform() -> None:
    edges = (0.02, 0.1, 0.5, 1.0)
    assert description().calibration_shares(edges) == pytest.approx(edges, abs=0.025)


def test_the_shares_of_the_calibrations_own_images_are_counted_on_both_sides() -> None:
    """At most 51/101 are 50 … 99 of the hundred, and 26 … 49 of the fifty: (51 − i) / 51."""
    both = {Side.LEFT: side(), Side.RIGHT: replace(side(), reference=HUNDRED[:50])}
    found = replace(description(), sides=both).calibration_shares((51 / 101, 1.0))
    assert found == [(50 + 24) / 150, 1]


def test_what_is_written_is_read() -> None:
    written = Typicality({Side.LEFT: side(), Side.RIGHT: side(seed=7)}, 0.05, 200, 10, "drawn", "")
    data = to_bytes(written)
    read = from_bytes(data, record_of(written, data), 4)
    rows, looks = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32), statistics(20)
    for where in Side:
        np.testing.assert_allclose(
            read.of(rows, looks, where), written.of(rows, looks, where), rtol=1e-4
        )
    assert not np.allclose(read.of(rows, looks, Side.LEFT), read.of(rows, looks, Side.RIGHT))
    assert replace(read, sides={}) == replace(written, sides={})


def test_what_says_no_class_is_short_or_points_to_none() -> None:
    """Length 5 along a class: −ln 5 and no angle; halfway between two of them, an eighth turn."""
    measures = ClassCentres(np.eye(3, dtype=np.float32)[:2])
    found = measures.of(np.array([[0, 5, 0], [1, 1, 0], [0, 0, 0.1], [0, 0, 0]], np.float32))
    assert found[0].tolist() == pytest.approx([-np.log(5), 0], abs=1e-3)
    assert found[1].tolist() == pytest.approx([-np.log(2) / 2, np.pi / 4])
    assert found[2].tolist() == pytest.approx([np.log(10), np.pi / 2])
    assert np.isfinite(found[3]).all()


def test_centres_of_classes_are_read_as_they_are_written() -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 3)))[0].T
    made = replace(side(), measures=ClassCentres(directions.astype(np.float32)))
    written = Typicality({Side.LEFT: made}, 0.05, 100, 3, "drawn", "")
    data = to_bytes(written)
    read = from_bytes(data, record_of(written, data), 4)
    rows = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
    looks = statistics(20)
    np.testing.assert_allclose(read.of(rows, looks), written.of(rows, looks), rtol=0.02)
    with pytest.raises(StoreError, match="5 values"):
        from_bytes(data, record_of(written, data), 5)


def test_a_description_of_before_pixels_were_looked_at_is_read_and_judges_without() -> None:
    old = replace(side(), centre=np.array([1.0, 0.1]), spread=np.array([0.5, 0.2]), pixels=None)
    written = Typicality({Side.LEFT: old}, 0.05, 100, 3, "drawn", "")
    data = to_bytes(written)
    read = from_bytes(data, record_of(written, data), 4)
    rows = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_array_equal(read.of(rows, statistics(20)), read.of(rows, statistics(20, 1)))
    images = np.zeros((20, 8, 8, 3), np.uint8)
    assert read.look(images) is None, "nothing is taken that nobody wants"
    np.testing.assert_array_equal(read.of(rows, None), read.of(rows, statistics(20)))


def test_where_pixels_count_they_are_looked_at() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    looks = description().look(images)
    assert looks is not None
    np.testing.assert_array_equal(looks, pixel_statistics(images))
    with pytest.raises(ValueError, match="pixels look like"):
        description().of(np.ones((20, 4), np.float32), None)


def test_another_file_or_another_model_is_refused() -> None:
    data = to_bytes(description())
    record = record_of(description(), data)
    with pytest.raises(StoreError, match="not the file"):
        from_bytes(data[:-1] + b"?", record, 4)
    with pytest.raises(StoreError, match="5 values"):
        from_bytes(data, record, 5)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (replace(side(), reference=HUNDRED[:10]), "left.reference has shape"),
        (replace(side(), centre=np.ones(2)), "left.centre has shape"),
        (replace(side(), spread=np.ones(4)), "left.spread has shape"),
        (replace(side(), pixels=None), "left.centre has shape"),
        (replace(side(), reference=HUNDRED * np.nan), "left.reference has values that are not fin"),
        (replace(side(), reference=HUNDRED[::-1]), "left.reference does not ascend"),
        (replace(side(), centre=np.array([1, np.inf, 1])), "left.centre has values that are not f"),
        (replace(side(), centre=np.ones(3, np.int64)), "left.centre holds int64 and no floating"),
        (
            replace(side(), spread=np.array([1.0, 0.0, 1.0])),
            "left.spread has values that are not a",
        ),
        (replace(side(), measures=ClassCentres(np.ones((0, 4)))), r"left.classes has shape \(0, 4"),
        (
            replace(side(), pixels=Pixels(np.zeros(COUNT), np.full((COUNT, COUNT), np.nan))),
            "left.pixels.whitening has values that are not finite",
        ),
    ],
    ids=[
        "too few to count",
        "no centre of pixels",
        "one spread too many",
        "no pixels",
        "distances that are no numbers",
        "distances that fall",
        "an infinite centre",
        "a centre in integers",
        "no spread",
        "no classes",
        "pixels that are no numbers",
    ],
)
def test_a_description_that_could_not_judge_is_refused(made: SideTypicality, said: str) -> None:
    written = replace(description(), sides={Side.LEFT: made})
    data = to_bytes(written)
    with pytest.raises(StoreError, match=said):
        from_bytes(data, record_of(written, data), 4)


def test_a_description_of_too_few_images_for_any_direction_is_read() -> None:
    none = Subspace(np.zeros(4, np.float32), np.zeros((0, 4), np.float32))
    written = replace(
        description(), sides={Side.LEFT: replace(side(), measures=Residuals(none, none))}
    )
    data = to_bytes(written)
    found = from_bytes(data, record_of(written, data), 4).of(
        np.eye(4, dtype=np.float32), statistics(4)
    )
    assert ((found > 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    "data",
    [b"no tensors", save_tensors({"other": np.ones(3)}), save_tensors({"left.centre": np.ones(3)})],
    ids=["another format", "nothing of it", "a part of it"],
)
def test_a_file_that_is_no_description_is_refused_though_the_manifest_names_it(data: bytes) -> None:
    with pytest.raises(StoreError, match="does not describe"):
        from_bytes(data, record_of(description(), data), 4)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_level_that_calls_all_or_nothing_typical_is_refused(level: float) -> None:
    record = record_of(description(), b"any")
    with pytest.raises(ValidationError, match="level"):
        TypicalityRecord.model_validate(record.model_dump() | {"level": level})


def test_a_store_keeps_it_beside_the_weights(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    network = tiny.network()
    assert store.load(store.save("mine", network).name).typicality is None
    store.revise("mine", 1, typicality=description(network.dimension))
    loaded = store.load("mine")
    assert loaded.manifest.typicality is not None
    assert loaded.manifest.typicality.level == loaded.typicality.level == 0.02
    store.revise("mine", 2, files={"note.md": b"more"})
    assert store.load("mine").typicality is not None, "what is not given anew stays"
    stricter = replace(description(network.dimension), level=0.05)
    store.revise("mine", 3, typicality=stricter)
    assert store.load("mine").typicality.level == 0.05
    file = store.find("mine").path / "typicality.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointDamaged, match=r"typicality\.safetensors.* copy or train again$"):
        store.load("mine")
    file.unlink()
    with pytest.raises(CheckpointDamaged, match="cannot be read"):
        store.load("mine")
