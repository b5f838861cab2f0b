"""What another store has is put in, and what is there goes on answering."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store import ModelStore
from model_store.copying import Copied, copy_models
from model_store.errors import CheckpointDamaged, ModelNotFound
from model_store.index import StoreIndex
from tests import tiny


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """One with two models, a default and an alias."""
    store = ModelStore(tmp_path_factory.mktemp("shipped"))
    store.save("photos", tiny.network(seed=1), files={"card.md": b"shipped", "more.md": b"shipped"})
    store.save("signs", tiny.network(seed=2))
    store.set_alias("live", "photos")
    return store


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "a" / "store")


def told(copied: list[Copied]) -> dict[str, str]:
    return {each.name: each.told for each in copied}


def content(store: ModelStore) -> dict[Path, bytes]:
    """Its files, but for the record of which numbers were given."""
    return {
        file.relative_to(store.root): file.read_bytes()
        for file in store.root.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def test_an_empty_store_becomes_the_same(shipped: ModelStore, store: ModelStore):
    copied = copy_models(shipped, store)
    assert [each.references for each in copied] == [
        (store.find("photos", 1),),
        (store.find("signs", 1),),
    ]
    assert content(store) == content(shipped)
    assert store.load("photos").manifest == shipped.manifest("photos")
    again = copy_models(shipped, store)
    assert told(again) == {"photos": "is there already", "signs": "is there already"}


def test_the_only_model_goes_on_answering(shipped: ModelStore, store: ModelStore):
    store.save("mine", tiny.network())
    (store.root / "store.json").unlink()
    copy_models(shipped, store)
    assert store.index() == StoreIndex(default="mine")
    assert [found.name for found in store.models()] == ["mine", "photos", "signs"]


@pytest.mark.parametrize("index", [StoreIndex(default="live"), StoreIndex(aliases={"live": "b"})])
def test_default_and_aliases_stay(shipped: ModelStore, store: ModelStore, index: StoreIndex):
    for name in ("a", "b"):
        store.save(name, tiny.network())
    (store.root / "store.json").write_text(index.model_dump_json())
    copy_models(shipped, store)
    assert store.index() == index


def test_an_alias_goes_on_standing_for_its_model(shipped: ModelStore, store: ModelStore):
    store.save("mine", tiny.network())
    store.set_alias("photos", "mine")
    copied = copy_models(shipped, store)
    assert "'photos' is an alias of 'mine'" in told(copied)["photos"]
    assert store.resolve("photos") == "mine"
    assert not (store.root / "photos").exists()
    assert store.versions("signs") == [1]


def test_an_index_that_cannot_be_read_stays_and_hinders_no_model_that_is_there(
    tmp_path: Path, store: ModelStore
):
    source = ModelStore(tmp_path / "source")
    source.save("photos", tiny.network(seed=1))
    copy_models(source, store)
    source.revise("photos", 1)
    source.save("signs", tiny.network(seed=2))
    (store.root / "store.json").write_text("{")
    copied = copy_models(source, store)
    assert store.versions("photos") == [1, 2]
    assert store.versions("signs") == []
    said = told(copied)
    assert list(said) == ["store.json", "photos", "signs"]
    assert said["store.json"].startswith(f"stays as it is: {store.root / 'store.json'} cannot be")
    assert said["signs"].startswith("not copied: it may be an alias there")
    assert (store.root / "store.json").read_text() == "{"
    (store.root / "store.json").write_text('{"default": "photos", "aliases": {"signs": "photos"}}')
    assert "'signs' is an alias of 'photos'" in told(copy_models(source, store))["signs"]


def test_nothing_comes_into_a_version_that_is_another(shipped: ModelStore, store: ModelStore):
    mine = store.save("photos", tiny.network(), files={"card.md": b"mine"})
    before = {file.name: file.read_bytes() for file in mine.path.iterdir()}
    copied = copy_models(shipped, store)
    assert "not copied: version 1 there is another" in told(copied)["photos"]
    assert {file.name: file.read_bytes() for file in mine.path.iterdir()} == before
    assert store.index().default == "photos"


def test_no_newer_version_comes_before_one_that_the_user_made(tmp_path: Path, store: ModelStore):
    source = ModelStore(tmp_path / "source")
    source.save("photos", tiny.network(seed=1))
    copy_models(source, store)
    source.revise("photos", 1)
    copy_models(source, store)
    assert store.versions("photos") == [1, 2]
    for _ in range(2):
        source.save("photos", tiny.network(seed=2))
    mine = store.save("photos", tiny.network(seed=3))
    assert "version 3 there is another" in told(copy_models(source, store))["photos"]
    shutil.rmtree(mine.path)
    mine.path.with_name("7").mkdir()
    assert "version 7 there is another" in told(copy_models(source, store))["photos"]
    assert store.versions("photos") == [1, 2, 7]


def test_a_number_that_was_given_is_no_other_versions(tmp_path: Path, store: ModelStore):
    source = ModelStore(tmp_path / "source")
    source.save("photos", tiny.network(seed=1))
    copy_models(source, store)
    store.save("photos", tiny.network(seed=2)).path.rename(tmp_path / "the user's")
    for seed in (3, 4):
        source.save("photos", tiny.network(seed=seed))
    (copied,) = copy_models(source, store)
    assert copied.references == (store.find("photos", 3),)
    assert "not copied: 2, as numbers that were given there before" in copied.told
    assert store.versions("photos") == [1, 3]
    shutil.copytree(source.root / "photos" / "2", store.root / "photos" / "2")
    assert told(copy_models(source, store)) == {"photos": "is there already"}


def test_numbers_that_were_given_are_known_in_a_copy_too(tmp_path: Path, store: ModelStore):
    source = ModelStore(tmp_path / "source")
    for seed in range(3):
        source.save("photos", tiny.network(seed=seed))
    shutil.rmtree(source.root / "photos" / "3")
    copy_models(source, store)
    shutil.rmtree(store.root / "photos" / "2")
    assert store.save("photos", tiny.network()).version == 4
    (source.root / "photos" / ".highest").unlink()
    other = ModelStore(tmp_path / "other")
    copy_models(source, other)
    shutil.rmtree(other.root / "photos" / "2")
    assert other.save("photos", tiny.network()).version == 3


def test_what_was_interrupted_is_completed_by_the_next_copy(shipped: ModelStore, store: ModelStore):
    copy_models(shipped, store)
    shutil.rmtree(store.root / "signs")
    left = store.root / "signs" / ".incoming-1-abcd"
    left.mkdir(parents=True)
    copy_models(shipped, store)
    assert not left.exists()
    assert store.load("signs").manifest == shipped.manifest("signs")
    assert store.index() == shipped.index()


def test_copies_at_the_same_moment_are_one(shipped: ModelStore, store: ModelStore):
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: copy_models(shipped, store), range(4)))
    new = [reference for copied in copies for each in copied for reference in each.references]
    assert sorted(reference.name for reference in new) == ["photos", "signs"]
    assert store.index() == shipped.index()
    for name in ("photos", "signs"):
        assert store.load(name).manifest == shipped.manifest(name)
        found = sorted(entry.name for entry in (store.root / name).iterdir())
        assert found == [".highest", "1"]


def test_what_is_damaged_is_not_copied(tmp_path: Path, store: ModelStore):
    source = ModelStore(tmp_path / "source")
    with pytest.raises(ModelNotFound, match="holds no model to copy"):
        copy_models(source, store)
    weights = source.save("mine", tiny.network()).path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointDamaged, match=str(weights)):
        copy_models(source, store)
    assert store.models() == []
