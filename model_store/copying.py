"""Models of another store, such as those that come with a release, put in where they are missing.

What is in the store stays as it is, and what answers goes on answering.
"""

from dataclasses import dataclass

from model_store.errors import CheckpointDamaged, ModelNotFound, StoreError
from model_store.files import make_folder
from model_store.index import INDEX, StoreIndex, update_index
from model_store.reader import Reference
from model_store.store import ModelStore
from model_store.versions import copy_version, give_no_more, highest_given


@dataclass(frozen=True)
class Copied:
    """What copying a model, or the index, came to.

    Attributes:
        name: The model's; of the index its file's.
        references: Its versions that are new in the store.
        told: Why there are none, or not all, for users; empty where there are.
        failed: Whether it is not known what there would be to copy.
    """

    name: str
    references: tuple[Reference, ...] = ()
    told: str = ""
    failed: bool = False


def copy_models(source: ModelStore, store: ModelStore) -> list[Copied]:
    """Copies the versions of models that a store lacks, each whole or not at all.

    A model that the store has in other versions than the source gets none, as a newer one would
    answer in place of the user's; nor does one whose name is an alias there. A version whose number
    was given there before, and is no longer there, stays away. Default and aliases are copied only
    where there is no model yet. An index that cannot be read stays as it is, and models that the
    store has not, whose names could be aliases there, wait until it can.

    Args:
        source: Where from.
        store: Where to.

    Returns:
        What each model came to, and before them the index if it cannot be read; after them those
        of the source whose folders cannot be.

    Raises:
        StoreError: The source holds no model, or a version of it is damaged, or the store cannot be
            read or written. What was copied until then stays, and copying again goes on.
    """
    names = [reference.name for reference in source.models()]
    failed = [
        Copied(name, told=f"not copied: {why}", failed=True)
        for name, why in source.unreadable().items()
    ]
    if not names and not failed:
        raise ModelNotFound(f"{source.root} holds no model to copy; name the folder of a store")
    try:
        index = store.index()
    except CheckpointDamaged as error:
        told = [Copied(INDEX, told=f"stays as it is: {error}")]
    else:
        told = []
        _copy_index(source, store, index)
    return [*told, *(_copy_model(name, source, store) for name in names), *failed]


def _copy_index(source: ModelStore, store: ModelStore, found: StoreIndex) -> None:
    """Sees that a store has a default before it has several models.

    First of all, so that a copy that was interrupted, and is done again, leaves the same.
    """
    there = [reference.name for reference in store.models()]
    if found.default is not None or len(there) > 1:
        return
    # A store's only model answers without being its default, but no longer beside others.
    wanted = StoreIndex(default=there[0]) if there else source.index()

    def completed(index: StoreIndex) -> StoreIndex:
        if index.default is not None:
            return index
        return StoreIndex(default=wanted.default, aliases={**wanted.aliases, **index.aliases})

    make_folder(store.root)
    update_index(store.root, completed)


def _copy_model(name: str, source: ModelStore, store: ModelStore) -> Copied:
    if (told := _in_the_way(name, source, store)) is not None:
        return Copied(name, told=told)
    folder = store.root / name
    # In this order, as another process may do the same: what it has copied by now is there.
    given = highest_given(folder)
    there = store.versions(name)
    missing = [version for version in source.versions(name) if version not in there]
    new = tuple(
        store.find(name, version)
        for version in missing
        # It may be quicker.
        if version > given and copy_version(source.load(name, version).path, folder)
    )
    # Last: what is interrupted before it is completed by the next copy.
    give_no_more(folder, highest_given(source.root / name))
    gone = [version for version in missing if version <= given]
    if gone:
        return Copied(
            name,
            new,
            f"not copied: {', '.join(map(str, gone))}, as numbers that were given there before are "
            "not given again (to have one all the same, copy its folder from "
            f"{source.root / name} into {folder})",
        )
    return Copied(name, new, "" if new else "is there already")


def _in_the_way(name: str, source: ModelStore, store: ModelStore) -> str | None:
    """What of the user's a model would take the place of, for users; None where nothing is."""
    there = store.versions(name)
    try:
        model = name if there else store.resolve(name)
    except CheckpointDamaged:
        return f"not copied: it may be an alias there (mend {store.root / INDEX} and copy again)"
    if model != name:
        return (
            f"not copied: '{name}' is an alias of '{model}' there (to have it all the same, take "
            f"the alias out of {store.root / INDEX} and copy again)"
        )
    for version in there:
        if not _same(name, version, source, store):
            return (
                f"not copied: version {version} there is another (to have it all the same, move "
                f"{store.root / name} out of the store and copy again)"
            )
    return None


def _same(name: str, version: int, source: ModelStore, store: ModelStore) -> bool:
    """Whether both have a version, and it says the same of itself."""
    try:
        return source.manifest(name, version) == store.manifest(name, version)
    except StoreError:
        return False
