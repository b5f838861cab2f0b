import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import manifest as manifests
from model_store.calibration import Calibration, LogisticCurve
from model_store.errors import CheckpointDamaged, FormatTooNew, InvalidName
from model_store.manifest import Evaluation, Manifest, WeightsFile, check_name
from model_store.metric import Metric
from model_store.preprocessing import Preprocessing
from tests import tiny
from tests.model_store.test_store import CALIBRATION

PATH = Path("store/name/1/manifest.json")

shares = st.floats(0, 1)
calibrations = st.builds(
    Calibration,
    curve=st.builds(LogisticCurve, slope=st.floats(0, 1e6), intercept=st.floats(-1e6, 1e6)),
    prior=st.floats(0.001, 0.999),
    threshold=st.floats(-1e9, 1e9),
    target_far=shares,
    far=shares,
    far_interval=st.tuples(shares, shares),
    frr=shares,
    frr_interval=st.tuples(shares, shares),
    classes=st.integers(1, 10**6),
    genuine_pairs=st.integers(1, 10**12),
    impostor_pairs=st.integers(1, 10**12),
    impostors=st.sampled_from([None, "exhaustive", "sample"]),
    data=st.text(),
)
preprocessings = st.builds(
    Preprocessing,
    height=st.integers(8, 1024),
    width=st.integers(8, 1024),
    mode=st.just("L"),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    crop_fraction=st.floats(0.1, 1),
    fill=st.integers(0, 255),
    mean=st.tuples(st.floats(-10, 10)),
    std=st.tuples(st.floats(0.001, 10)),
)
manifests_of_all_kinds = st.builds(
    Manifest,
    name=st.from_regex(manifests.NAME_PATTERN, fullmatch=True),
    version=st.integers(1, 10**9),
    created=st.datetimes(timezones=st.just(UTC)),
    description=st.text(),
    network=st.sampled_from([tiny.network_spec("cosine"), tiny.network_spec(sides=2)]),
    preprocessing=preprocessings,
    metric=st.sampled_from(Metric),
    symmetric=st.booleans(),
    dimension=st.integers(1, 10**6),
    weights=st.builds(
        WeightsFile,
        sha256=st.from_regex(r"^[0-9a-f]{64}$", fullmatch=True),
        bytes=st.integers(1, 10**12),
        parameters=st.integers(0, 10**12),
    ),
    calibration=st.none() | calibrations,
    evaluations=st.lists(
        st.builds(
            Evaluation,
            protocol=st.text(),
            data=st.text(),
            figures=st.dictionaries(st.text(), shares | st.integers() | st.text() | st.none()),
        ),
        max_size=2,
    ).map(tuple),
)


def example() -> Manifest:
    return Manifest(
        name="example",
        version=1,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        network=tiny.network_spec(),
        preprocessing=tiny.GREY_32,
        metric=Metric.EUCLIDEAN_DISSIMILARITY,
        symmetric=True,
        dimension=8,
        weights=WeightsFile(sha256="0" * 64, bytes=1, parameters=1),
    )


@given(manifests_of_all_kinds)
def test_a_manifest_comes_back_as_it_was_written(manifest: Manifest):
    assert manifests.from_bytes(manifests.to_bytes(manifest), PATH) == manifest


@given(st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(data: st.DataObject):
    manifest = example()
    written = bytearray(manifests.to_bytes(manifest))
    position = data.draw(st.integers(0, len(written) - 1))
    written[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert manifests.from_bytes(bytes(written), PATH) == manifest
    except (CheckpointDamaged, FormatTooNew) as error:
        assert str(PATH) in str(error)


def test_a_newer_format_is_refused_with_advice():
    content = json.loads(manifests.to_bytes(example()))
    content["format"] = 3
    content["something-new"] = True
    with pytest.raises(FormatTooNew, match=r"manifest\.json has format 3.*upgrade Twinlens"):
        manifests.from_bytes(json.dumps(content).encode(), PATH)


@pytest.mark.parametrize(
    ("told", "oldest"),
    [
        ({}, 1),
        ({"impostors": "exhaustive"}, 2),
        ({"impostors": "sample"}, 2),
        ({"classes": 1}, 2),
    ],
)
def test_an_older_release_reads_what_it_can_and_refuses_the_rest_as_too_new(
    told: dict[str, object], oldest: int
):
    calibration = CALIBRATION.model_copy(update=told)
    manifest = example().model_copy(update={"calibration": calibration})
    content = json.loads(manifests.to_bytes(manifest))
    assert content["format"] == oldest
    assert ("impostors" in content["calibration"]) is ("impostors" in told)


@pytest.mark.parametrize("found", [0, -1, 1.5, "1", None, []])
def test_what_is_no_format_is_refused(found: object):
    content = json.loads(manifests.to_bytes(example()))
    del content["digest"]
    content["format"] = found
    content["digest"] = manifests._digest(content)
    with pytest.raises(CheckpointDamaged, match=r"manifest\.json: format: .* is none"):
        manifests.from_bytes(json.dumps(content).encode(), PATH)


def test_a_hand_edit_is_noticed():
    written = manifests.to_bytes(example()).replace(b'"version": 1', b'"version": 2')
    with pytest.raises(CheckpointDamaged, match="changed after it was written"):
        manifests.from_bytes(written, PATH)


def test_a_digest_that_was_taken_out_is_missed():
    content = json.loads(manifests.to_bytes(example()))
    del content["digest"]
    with pytest.raises(CheckpointDamaged, match="changed after it was written"):
        manifests.from_bytes(json.dumps(content).encode(), PATH)


def test_without_the_calibration_nothing_is_said_of_what_it_was_made_by():
    figures = {"auc": 0.9, "calibration_error_interval": [0.1, 0.2]}
    found = Evaluation(protocol="verification", data="x", figures=figures, calibrated_by="y")
    assert found.without_calibration() == Evaluation(
        protocol="verification",
        data="x",
        figures={"auc": 0.9, "calibration_error_interval": None},
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": ' + b"1" * 5000 + b"}",
        b'{"name": "\\ud800"}',
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes):
    with pytest.raises(CheckpointDamaged, match=r"manifest\.json"):
        manifests.from_bytes(data, PATH)


@pytest.mark.parametrize(("field", "value"), [("mean", math.nan), ("std", math.inf)])
def test_values_that_no_image_can_be_normalised_by_are_refused(field: str, value: float):
    content = json.loads(manifests.to_bytes(example()))
    del content["digest"]
    content["preprocessing"][field] = [value]
    content["digest"] = manifests._digest(content)
    with pytest.raises(CheckpointDamaged, match=rf"preprocessing\.{field}\.0: .*finite number"):
        manifests.from_bytes(json.dumps(content).encode(), PATH)


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", "Upper", ".hidden", "a" * 64, "spaced name", "a\n", "-x", "_x"]
)
def test_names_that_are_no_folder_names_are_refused(name: str):
    with pytest.raises(InvalidName, match="cannot be a model's name"):
        check_name(name)
