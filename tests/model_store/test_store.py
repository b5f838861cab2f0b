import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from model_store import ModelStore
from model_store.calibration import Calibration, LogisticCurve, ScoreDistribution
from model_store.copying import copy_models
from model_store.errors import (
    CheckpointDamaged,
    InvalidName,
    ModelNotFound,
    StoreError,
)
from model_store.index import StoreIndex
from model_store.manifest import Evaluation, Provenance, WeightsFile
from tests import tiny

CALIBRATION = Calibration(
    curve=LogisticCurve(slope=4.0, intercept=2.0),
    prior=0.5,
    threshold=0.6,
    target_far=0.01,
    far=0.009,
    far_interval=(0.005, 0.02),
    frr=0.1,
    frr_interval=(0.05, 0.2),
    classes=10,
    genuine_pairs=100,
    impostor_pairs=1000,
    data="made up",
)


@pytest.mark.parametrize("comparator", ["euclidean", "cosine", "absolute-difference-sigmoid"])
@pytest.mark.parametrize("sides", [1, 2])
def test_a_model_comes_back_by_its_manifest_alone(tmp_path: Path, comparator: str, sides: int):
    network = tiny.network(comparator, sides=sides, seed=3)
    store = ModelStore(tmp_path)
    store.save(
        "mine",
        network,
        description="a test",
        calibration=CALIBRATION,
        evaluations=(Evaluation(protocol="verification", data="x", figures={"eer": 0.1}),),
        provenance=Provenance(seed=3),
        files={"card.md": b"# mine"},
    )
    loaded = ModelStore(tmp_path).load("mine")
    assert loaded.manifest.metric is network.comparator.metric
    assert loaded.manifest.symmetric == (sides == 1)
    assert loaded.manifest.calibration == CALIBRATION
    assert (loaded.path / "card.md").read_bytes() == b"# mine"
    left, right = (torch.randint(0, 256, (4, 32, 32, 1), dtype=torch.uint8) for _ in range(2))
    with torch.inference_mode():
        assert torch.equal(loaded.network(left, right), network(left, right))


def test_half_precision_on_disk_is_float32_in_memory_and_half_the_size(tmp_path: Path):
    store = ModelStore(tmp_path)
    network = tiny.network()
    full, half = (
        store.manifest(store.save("mine", network, dtype=dtype).name).weights
        for dtype in ("float32", "float16")
    )
    values = sum(t.numel() for t in network.state_dict().values() if t.is_floating_point())
    assert full.bytes - half.bytes == pytest.approx(2 * values, rel=0.02), "the header differs too"
    loaded = store.load("mine").network
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    batch = torch.randint(0, 256, (4, 32, 32, 1), dtype=torch.uint8)
    with torch.inference_mode():
        cosine = (loaded.embed(batch) * network.embed(batch)).sum(dim=1)
    assert cosine.min() > 0.999


def test_versions_count_up_and_the_newest_is_served(tmp_path: Path):
    store = ModelStore(tmp_path)
    for seed in range(3):
        assert store.save("mine", tiny.network(seed=seed)).version == seed + 1
    assert store.versions("mine") == [1, 2, 3]
    assert store.load("mine").manifest.version == 3
    assert store.load("mine", 1).manifest.version == 1
    assert [reference.version for reference in store.models()] == [3]


def test_a_revision_has_the_same_weights_and_the_new_calibration(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network(), files={"card.md": b"old", "split.json": b"{}"})
    before = store.manifest("mine")
    reference = store.revise("mine", 1, calibration=CALIBRATION, files={"card.md": b"new"})
    after = store.load("mine").manifest
    assert reference.version == 2
    assert after.weights == before.weights
    parameters = tiny.network().parameters()
    assert after.weights.parameters == sum(parameter.numel() for parameter in parameters)
    assert after.calibration == CALIBRATION
    assert (reference.path / "card.md").read_bytes() == b"new"
    assert (reference.path / "split.json").read_bytes() == b"{}"
    assert store.manifest("mine", 1).calibration is None, "a saved version never changes"


def test_a_revision_keeps_what_it_is_given_nothing_for_and_says_when_it_was_made(tmp_path: Path):
    store = ModelStore(tmp_path)
    long_ago = datetime(2020, 1, 2, tzinfo=UTC)
    reference = store.save(
        "mine", tiny.network(), description="a test", calibration=CALIBRATION, created=long_ago
    )
    assert store.manifest("mine").created == long_ago
    (reference.path / "a folder of somebody's").mkdir()
    revised = store.revise("mine", 1, files={"note.md": b"more"})
    after = store.manifest("mine")
    assert (after.calibration, after.description) == (CALIBRATION, "a test")
    assert after.created > long_ago
    assert not (revised.path / "a folder of somebody's").exists()


def test_a_version_that_was_deleted_leaves_a_gap(tmp_path: Path):
    store = ModelStore(tmp_path)
    for _ in range(3):
        reference = store.save("mine", tiny.network())
    shutil.rmtree(reference.path.parent / "1")
    assert store.save("mine", tiny.network()).version == 4
    assert store.versions("mine") == [2, 3, 4]


def test_weights_that_are_not_those_expected_are_not_kept(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network(seed=1))
    expected = store.manifest("mine").weights
    assert isinstance(expected, WeightsFile)
    assert store.save("mine", tiny.network(seed=1), expected_weights=expected).version == 2
    with pytest.raises(StoreError, match="the weights of 'mine' are not those"):
        store.save("mine", tiny.network(seed=2), expected_weights=expected)
    assert sorted(entry.name for entry in (tmp_path / "mine").iterdir()) == [".highest", "1", "2"]


class Meanwhile(dict[str, bytes]):
    """Files to be written, while another process saves a version."""

    def __init__(self, store: ModelStore) -> None:
        super().__init__({"note.md": b"late"})
        self.store = store

    def items(self):
        self.store.save("mine", tiny.network(seed=1))
        return super().items()


def test_a_revision_is_never_of_weights_that_it_was_not_made_for(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    with pytest.raises(StoreError, match=r"a version 2 by now.*do it again for version 2"):
        store.revise("mine", 1, files=Meanwhile(store))
    assert store.versions("mine") == [1, 2]
    with pytest.raises(StoreError, match="made for; do it again for version 2"):
        store.revise("mine", 1, calibration=CALIBRATION)
    assert store.revise("mine", 2, calibration=CALIBRATION).version == 3


def test_figures_of_a_calibration_go_with_it_and_others_stay(tmp_path: Path):
    store = ModelStore(tmp_path)
    figures = {"auc": 0.9, "calibration_error": 0.01, "at_threshold": {"threshold": 0.6}}
    old = Evaluation(protocol="verification", data="x", figures=figures)
    other = Evaluation(protocol="retrieval", data="x", figures={"map": 0.5})
    store.save("mine", tiny.network(), calibration=CALIBRATION, evaluations=(old, other))
    where = ScoreDistribution(scores=(1.0,), genuine=(0.9,), impostor=(0.1,))
    same = CALIBRATION.model_copy(update={"distribution": where})
    store.revise("mine", 1, calibration=same)
    assert store.manifest("mine").evaluations == (old, other)
    new = CALIBRATION.model_copy(update={"threshold": 0.7})
    added = old.model_copy(update={"data": "y"})
    store.revise("mine", 2, calibration=new, evaluations=(added,))
    without, *rest = store.manifest("mine").evaluations
    assert without.figures == {"auc": 0.9, "calibration_error": None, "at_threshold": None}
    assert rest == [other, added]


def test_all_of_a_version_is_on_the_disk_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, synced = os.fsync, set()

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.add((status.st_dev, status.st_ino))
        real(descriptor)

    def on_disk(path: Path) -> bool:
        status = path.stat()
        return (status.st_dev, status.st_ino) in synced

    monkeypatch.setattr(os, "fsync", fsync)
    store = ModelStore(tmp_path / "a" / "store")
    reference = store.save("mine", tiny.network(), files={"split.json": b"{}"})
    for path in (*reference.path.iterdir(), reference.path, *reference.path.parents[:4]):
        assert on_disk(path), path
    synced.clear()
    reference = store.revise("mine", 1, files={"note.md": b"new"})
    for path in (*reference.path.iterdir(), reference.path, reference.path.parent):
        assert on_disk(path), path


def test_a_new_model_puts_no_alias_out_of_use(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("good", tiny.network())
    store.set_alias("live", "good")
    with pytest.raises(StoreError, match=r"'live' is an alias of 'good'.*store\.json"):
        store.save("live", tiny.network(seed=1))
    assert not (tmp_path / "live").exists()
    assert store.save("good", tiny.network(seed=1)).version == 2


def test_default_and_aliases(filled: ModelStore):
    filled.set_default("good")
    filled.set_alias("live", "good")
    assert filled.index().default == "good"
    assert filled.index().aliases == {"live": "good"}
    filled.set_alias("next", "bad")
    filled.set_default("bad")
    assert filled.index().aliases == {"live": "good", "next": "bad"}, "the others stay"
    assert filled.index().default == "bad"
    assert filled.set_default("live").name == "good"
    assert filled.set_alias("main", "live").name == "good"
    assert filled.index().default == filled.index().aliases["main"] == "good"
    with pytest.raises(ModelNotFound, match="no model 'absent'"):
        filled.set_alias("another", "absent")
    with pytest.raises(InvalidName):
        filled.set_alias("../up", "good")
    with pytest.raises(ModelNotFound, match=r"no model 'absent'.*models there: bad, good"):
        filled.set_default("absent")
    with pytest.raises(StoreError, match="a model's own name"):
        filled.set_alias("bad", "good")


def test_the_first_model_becomes_the_default_and_stays_it(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("first", tiny.network())
    store.save("second", tiny.network(seed=1))
    store.save("first", tiny.network(seed=2))
    assert store.index().default == "first"
    store.set_default("second")
    store.revise("first", 2, calibration=CALIBRATION)
    assert store.index().default == "second"


def test_a_store_that_got_its_models_otherwise_keeps_having_no_default(tmp_path: Path):
    store = ModelStore(tmp_path / "store")
    store.save("one", tiny.network())
    (store.root / "store.json").unlink()
    shutil.copytree(store.root / "one", store.root / "two")
    store.save("one", tiny.network())
    store.save("three", tiny.network())
    assert store.index().default is None
    for name in ("two", "three"):
        shutil.rmtree(store.root / name)
    store.revise("one", 2, calibration=CALIBRATION)
    assert store.index().default == "one", "the only model, which answers anyway"


def test_a_default_that_was_removed_is_taken_over_by_the_next_model(tmp_path: Path):
    store = ModelStore(tmp_path)
    for name in ("try1", "try2"):
        store.save(name, tiny.network())
    store.set_alias("live", "try2")
    shutil.rmtree(tmp_path / "try1")
    # It was there before, and nobody chose it.
    revised = store.revise("try2", 1)
    assert store.index().default == "try1"
    assert store.told_default(revised) == ""
    told = store.told_default(store.save("mine", tiny.network()))
    assert store.index().default == "mine"
    assert told.startswith("it answers now where a request names no model")
    assert store.command("model_store", "default", "NAME") in told
    assert store.told_default(store.save("mine", tiny.network())) == ""
    assert store.index().aliases == {"live": "try2"}
    # The last is as the shipped store is before the import.
    for kept in ("try2", "live", "photos"):
        index = StoreIndex(default=kept, aliases={"live": "try2"})
        (tmp_path / "store.json").write_text(index.model_dump_json())
        store.save("mine", tiny.network())
        assert store.index() == index


def test_of_models_published_at_the_same_moment_one_becomes_the_default(tmp_path: Path):
    store = ModelStore(tmp_path)
    names = [f"m{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: store.save(name, tiny.network()), names))
    assert store.index().default in names


def test_a_model_is_kept_where_the_default_cannot_be(tmp_path: Path):
    (tmp_path / "store.json").write_text("{")
    store = ModelStore(tmp_path)
    saved = store.save("mine", tiny.network())
    assert (saved.version, saved.made_default) == (1, False)
    assert (tmp_path / "store.json").read_text() == "{"
    told = store.told_default(saved)
    assert told.startswith("store.json stays as it is")
    assert f"{tmp_path / 'store.json'} cannot be read" in told
    assert len(told.splitlines()) == 1


def test_no_model_takes_the_default_from_one_that_cannot_be_read_at_the_moment(tmp_path: Path):
    store = ModelStore(tmp_path / "store")
    old = store.save("old", tiny.network()).path.parent
    (store.root / "store.json").unlink()
    old.rename(tmp_path / "aside")
    old.symlink_to("old")
    told = store.told_default(store.save("new", tiny.network()))
    assert f"{old} cannot be read" in told
    assert "choose what answers: python -m model_store default NAME" in told
    assert store.index().default is None
    assert store.told_default(store.save("new", tiny.network())) == told


def test_a_first_model_that_did_not_get_to_be_the_default_is_it_when_another_comes(tmp_path: Path):
    store = ModelStore(tmp_path)
    first = store.save("first", tiny.network()).path
    for kept, default in ((True, "first"), (False, None)):
        # As where the process was killed in between.
        (tmp_path / "store.json").unlink()
        if not kept:
            (first / "weights.safetensors").write_bytes(b"damaged")
        second = store.save("second", tiny.network())
        assert store.index().default == default
        assert store.told_default(second) == ""
        shutil.rmtree(tmp_path / "second")


@pytest.mark.parametrize(
    "name", ["../evil", "a/b", "manifest.json", "weights.safetensors", "typicality.safetensors"]
)
def test_a_save_that_fails_leaves_nothing(tmp_path: Path, name: str):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    with pytest.raises(StoreError, match="cannot be the name of a file"):
        store.save("mine", tiny.network(), files={name: b""})
    assert sorted(entry.name for entry in (tmp_path / "mine").iterdir()) == [".highest", "1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_says_so(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="mend the permissions"):
        ModelStore(tmp_path).save("mine", tiny.network())


def test_a_full_disk_leaves_nothing_and_harms_nothing(tmp_path: Path):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a process may write is bounded like this without a disk of one's own to fill.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError):
            store.save("mine", tiny.network(seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(entry.name for entry in (tmp_path / "mine").iterdir()) == [".highest", "1"]
    assert store.load("mine").manifest.version == 1
    assert store.save("mine", tiny.network(seed=1)).version == 2


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that gives an I/O error")
def test_a_file_that_cannot_be_read_is_named_and_not_the_disk_that_is_written_to(tmp_path: Path):
    store = ModelStore(tmp_path / "store")
    bad = store.save("mine", tiny.network()).path / "card.md"
    bad.symlink_to("/proc/self/mem")
    for copies in (
        lambda: store.revise("mine", 1, calibration=CALIBRATION),
        lambda: copy_models(store, ModelStore(tmp_path / "copy")),
    ):
        with pytest.raises(CheckpointDamaged, match=f"{bad}: it cannot be read .Input/output err"):
            copies()
    assert store.versions("mine") == [1]
    assert ModelStore(tmp_path / "copy").models() == []
    revised = store.revise("mine", 1, files={"card.md": b"mended"})
    assert (revised.path / "card.md").read_bytes() == b"mended"


def test_whether_a_version_could_be_added_is_tried_and_leaves_nothing(tmp_path, monkeypatch):
    store = ModelStore(tmp_path)
    store.save("mine", tiny.network())
    store.check_writable("mine")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [".highest", "1"]

    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("model_store.versions.make_folder", refused)
    with pytest.raises(StoreError, match="mend the permissions"):
        store.check_writable("mine")
