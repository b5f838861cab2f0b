"""What a folder of models holds: `<root>/<name>/<version>/`, and `store.json`.

A version is never changed once it is there (`model_store.store`). So whoever reads, this process or
another, sees it whole or not at all, and may keep reading it while newer ones appear.
"""

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from model_store import checkpoint as checkpoints
from model_store.checkpoint import Checkpoint
from model_store.errors import CheckpointDamaged, ModelNotFound, StoreError
from model_store.index import StoreIndex, read_index
from model_store.manifest import NAME_PATTERN, Manifest, check_name
from model_store.shipped import IMPORTED_MODELS, SHIPPED
from model_store.versions import versions_in


@dataclass(frozen=True)
class Reference:
    """A version of a model that a store holds.

    Attributes:
        name: The model's.
        version: Its number.
        path: Its folder.
        made_default: Whether its model has become the default because it was saved.
        index_error: Why it could not be seen to what the default is, for users; empty where it was.
    """

    name: str
    version: int
    path: Path
    made_default: bool = field(default=False, compare=False)
    index_error: str = field(default="", compare=False)


class StoreReader:
    """Lists and loads the models of one folder, and changes nothing.

    Args:
        root: The folder; one that is not there holds no models.
    """

    def __init__(self, root: Path = SHIPPED) -> None:
        self.root = root

    def command(self, *words: str) -> str:
        """What to type, in whatever shell and folder, for a command on this store.

        Args:
            words: The package that is run, and what it is told but for the store.
        """
        # Of a path from the root none begins as options do.
        return shlex.join(["python", "-m", *words, "--store", str(self.root.absolute())])

    def models(self) -> list[Reference]:
        """The newest version of every model, by name. What cannot be a model is passed over.

        Raises:
            StoreError: What is at the root's path cannot be listed.
        """
        found = []
        for name in self._entries(models=True):
            try:
                versions = self.versions(name)
            except OSError:
                # No rights, a link in a circle, a bad disk: no reason to lose the other models.
                continue
            if versions:
                found.append(self._reference(name, versions[-1]))
        return found

    def unreadable(self) -> dict[str, str]:
        """Why what `models` passes over, as it cannot be listed, cannot; by name, for users.

        Raises:
            StoreError: As `models`.
        """
        found = {}
        for name in self._entries(models=True):
            try:
                self._listed(name)
            except StoreError as error:
                found[name] = str(error)
        return found

    def misnamed(self) -> list[str]:
        """The folders that hold a model as a store's do, and whose names no model can have.

        Raises:
            StoreError: As `models`.
        """
        found = []
        for name in self._entries(models=False):
            # Volumes have folders of the system's own, which nobody else may look into.
            with suppress(OSError):
                folders = (self.root / name / str(version) for version in self.versions(name))
                if any((folder / checkpoints.MANIFEST).is_file() for folder in folders):
                    found.append(name)
        return found

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first; none if there is no such model."""
        return versions_in(self.root / name)

    def find(self, name: str, version: int | None = None) -> Reference:
        """Where a version of a model lies: the newest, or the one given.

        Raises:
            ModelNotFound: It is not there; the message lists what is.
            StoreError: Its folder cannot be listed.
        """
        versions = self._listed(check_name(name))
        if not versions or (version is not None and version not in versions):
            there = (
                f"versions of it: {', '.join(map(str, versions))}"
                if versions
                else f"models there: {', '.join(found.name for found in self.models()) or 'none'}"
            )
            wanted = f"model '{name}'" + (f" version {version}" if version and versions else "")
            advice = ""
            if not versions and name in IMPORTED_MODELS:
                advice = f"; bring it in with {self.command('model_store', 'import', name)}"
            raise ModelNotFound(f"{self.root} holds no {wanted} ({there}){advice}")
        return self._reference(name, versions[-1] if version is None else version)

    def resolve(self, name: str) -> str:
        """The model that a name stands for: the one of that name, else the one of that alias.

        Returns:
            The model's own name; the name as it is given where it is neither.

        Raises:
            StoreError: `store.json` or the model's folder cannot be read.
        """
        return self._stands_for(name, self.index())

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """The manifest of a model, without its weights.

        Raises:
            ModelNotFound, CheckpointDamaged, FormatTooNew: As `find` and `checkpoint.load`.
        """
        reference = self.find(name, version)
        manifest = checkpoints.read_manifest(reference.path)
        _check_place(reference, manifest)
        return manifest

    def inspect(self, name: str, version: int) -> Manifest:
        """The manifest of a version whose weights have the size that it says.

        Raises:
            ModelNotFound, CheckpointDamaged, FormatTooNew: As `manifest`; or the weights have not.
        """
        manifest = self.manifest(name, version)
        checkpoints.check_size(self.find(name, version).path, manifest)
        return manifest

    def load(self, name: str, version: int | None = None) -> Checkpoint:
        """Loads a model.

        Raises:
            StoreError: As `find` and `checkpoint.load`.
        """
        reference = self.find(name, version)
        checkpoint = checkpoints.load(reference.path)
        _check_place(reference, checkpoint.manifest)
        return checkpoint

    def index(self) -> StoreIndex:
        """The default model and the aliases; none of either where no `store.json` is.

        Raises:
            CheckpointDamaged: The file is there and not readable.
        """
        return read_index(self.root)

    def _stands_for(self, name: str, index: StoreIndex) -> str:
        model = index.aliases.get(name)
        return name if model is None or self._listed(name) else model

    def _entries(self, *, models: bool) -> list[str]:
        """What lies in the root under names that models can have, or under others; sorted."""
        try:
            entries = [entry.name for entry in self.root.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                f"the model store {self.root} cannot be read ({error.strerror}); name a folder "
                "that this user may list, or mend the permissions of this one"
            ) from error
        # Unfinished training runs, for one, lie in a hidden folder beside the models.
        shown = sorted(entry for entry in entries if not entry.startswith("."))
        return [entry for entry in shown if bool(re.fullmatch(NAME_PATTERN, entry)) is models]

    def _listed(self, name: str) -> list[int]:
        """As `versions`, with an error for users."""
        try:
            return self.versions(name)
        except OSError as error:
            raise StoreError(
                f"{self.root / name} cannot be read ({error.strerror}); see that it is a "
                "folder that this user may list"
            ) from error

    def _reference(self, name: str, version: int) -> Reference:
        return Reference(name, version, self.root / name / str(version))


def _check_place(reference: Reference, manifest: Manifest) -> None:
    if (manifest.name, manifest.version) != (reference.name, reference.version):
        raise CheckpointDamaged(
            f"{reference.path} holds {manifest.name} version {manifest.version}; "
            "move the folder to where that belongs"
        )
