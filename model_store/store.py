"""A folder of models: `<root>/<name>/<version>/`, and `store.json` with the default and aliases.

Its first model becomes the default, so that requests that name none go on when another is added; so
does the next one that is trained or imported after the default was removed.

A checkpoint is written under a temporary name and renamed, and never changed after that.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from model_store import checkpoint as checkpoints
from model_store.calibration import Calibration
from model_store.errors import CheckpointDamaged, StoreError
from model_store.files import write_durably
from model_store.index import INDEX, StoreIndex, update_index
from model_store.manifest import (
    Evaluation,
    Manifest,
    Provenance,
    StoredType,
    WeightsFile,
    check_name,
)
from model_store.network.siamese import SiameseNetwork
from model_store.probe import Probe
from model_store.reader import Reference, StoreReader
from model_store.shipped import IMPORTED_MODELS
from model_store.typicality import Typicality
from model_store.versions import incoming_version, publish_version
from model_store.writing import (
    stored_probe,
    write_files,
    write_probe,
    write_typicality,
    write_weights,
)


class ModelStore(StoreReader):
    """Lists, loads and saves the models of one folder.

    Args:
        root: The folder; made on the first save if it is not there.
    """

    def save(
        self,
        name: str,
        network: SiameseNetwork,
        *,
        description: str = "",
        calibration: Calibration | None = None,
        typicality: Typicality | None = None,
        probe: Probe | None = None,
        evaluations: tuple[Evaluation, ...] = (),
        provenance: Provenance | None = None,
        files: Mapping[str, bytes] | None = None,
        dtype: StoredType = "float32",
        created: datetime | None = None,
        expected_weights: WeightsFile | None = None,
    ) -> Reference:
        """Adds a version to a model, whole or not at all.

        Args:
            name: The model's name.
            network: Its weights and specification.
            description: What it is good for, in a sentence.
            calibration: If it is calibrated.
            typicality: If it is known what its own kind of images is like.
            probe: What it must make of known pictures; if not given, what it makes of them now.
            evaluations: What was measured.
            provenance: Where the weights came from.
            files: What else goes into the folder, by file name.
            dtype: What the weights are stored as.
            created: If not now.
            expected_weights: If given, weights that come out as another file are refused.

        Raises:
            StoreError: It cannot be written, or the name is another model's alias; nothing of it is
                then left in the store.
        """
        self.check_no_alias(name)
        with incoming_version(self.root / check_name(name)) as incoming:
            weights = write_weights(incoming, network, dtype)
            if expected_weights not in (None, weights):
                raise StoreError(
                    f"the weights of '{name}' are not those its calibration was made for; "
                    "install the versions that pyproject.toml names and try again"
                )
            write_files(incoming, files or {})
            probe = probe or stored_probe(incoming, network)
            draft = Manifest(
                name=name,
                version=1,
                created=created or datetime.now(UTC).replace(microsecond=0),
                description=description,
                network=network.spec,
                preprocessing=network.preprocessing,
                metric=network.comparator.metric,
                symmetric=network.symmetric,
                dimension=network.dimension,
                weights=weights,
                calibration=calibration,
                typicality=write_typicality(incoming, typicality),
                probe=write_probe(incoming, probe),
                evaluations=evaluations,
                provenance=provenance or Provenance(),
            )
            return self._publish(incoming, draft)

    def revise(
        self,
        name: str,
        version: int,
        *,
        calibration: Calibration | None = None,
        typicality: Typicality | None = None,
        evaluations: tuple[Evaluation, ...] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> Reference:
        """Adds a version with the newest one's weights and another calibration or more figures.

        Args:
            name: The model's name.
            version: The newest version, which all that is given here was made for.
            calibration: Takes the place of the old one, if given; figures that were measured of
                that one are then dropped from the evaluations.
            typicality: Takes the place of the old one, if given.
            evaluations: Added to the old ones.
            files: Take the place of files of the same names, or are added.

        Raises:
            StoreError: There is a newer version, or this one is damaged, or the new one cannot be
                written.
        """
        old = self.find(name, version)
        manifest = self.manifest(name, version)
        weights = checkpoints.read_weights(old.path, manifest)
        replaced = {checkpoints.MANIFEST, checkpoints.WEIGHTS, *(files or {})}
        if typicality is not None:
            replaced.add(checkpoints.TYPICALITY)
        kept = manifest.evaluations
        if calibration is not None and not calibration.judges_as(manifest.calibration):
            kept = tuple(evaluation.without_calibration() for evaluation in kept)
        with incoming_version(old.path.parent) as incoming:
            # Copies and no links: damage to one version's file must not reach the other's.
            write_durably(incoming / checkpoints.WEIGHTS, weights)
            for file, data in checkpoints.files_in(old.path, but=replaced):
                write_durably(incoming / file, data)
            write_files(incoming, files or {})
            record = write_typicality(incoming, typicality)
            probe = manifest.probe
            if probe is None:
                probe = write_probe(incoming, checkpoints.load(old.path).reference)
            draft = manifest.model_copy(
                update={
                    "created": datetime.now(UTC).replace(microsecond=0),
                    "calibration": calibration or manifest.calibration,
                    "typicality": record or manifest.typicality,
                    "probe": probe,
                    "evaluations": (*kept, *evaluations),
                }
            )
            return self._publish(incoming, draft, after=version)

    def check_no_alias(self, name: str) -> None:
        """Refuses a name that is an alias of another model, which a new model would take from it.

        Raises:
            StoreError: It is one.
        """
        try:
            model = self.resolve(name)
        except CheckpointDamaged:
            return  # Training must not be lost to a file that can be mended.
        if model != name:
            raise StoreError(
                f"'{name}' is an alias of '{model}', which a model of that name would put out of "
                f"use; choose another name, or take the alias out of {self.root / INDEX}"
            )

    def check_writable(self, name: str) -> None:
        """Tries whether a version could be added to a model that is there; leaves nothing of it.

        Raises:
            StoreError: It could not.
        """
        with incoming_version(self.root / check_name(name)):
            pass

    def set_default(self, name: str) -> Reference:
        """Makes a model the one that answers where a request names none.

        Args:
            name: The model's, or an alias of it.

        Raises:
            ModelNotFound: The store has no such model.
        """
        found = self.find(self.resolve(name))
        update_index(self.root, lambda index: index.model_copy(update={"default": found.name}))
        return found

    def told_default(self, reference: Reference) -> str:
        """What to tell users of a version that was just saved, where its model became the default.

        Returns:
            A line without its end; empty where it did not, and nothing was in the way.
        """
        if reference.index_error:
            return (
                f"{INDEX} stays as it is, and with it what answers where a request names no model: "
                f"{' '.join(reference.index_error.split())}"
            )
        if not reference.made_default:
            return ""
        other = self.command("model_store", "default", "NAME")
        return f"it answers now where a request names no model (to have another do so: {other})"

    def set_alias(self, alias: str, name: str) -> Reference:
        """Gives a model a further name.

        Args:
            alias: The further name.
            name: The model's, or another alias of it.

        Raises:
            ModelNotFound: The store has no such model.
            StoreError: A model has the alias as its own name.
        """
        found = self.find(self.resolve(name))
        if self._listed(check_name(alias)):
            raise StoreError(f"'{alias}' is a model's own name; choose another alias")
        update_index(
            self.root,
            lambda index: index.model_copy(
                update={"aliases": {**index.aliases, alias: found.name}}
            ),
        )
        return found

    def _publish(self, incoming: Path, draft: Manifest, *, after: int | None = None) -> Reference:
        """As `publish_version`; the model becomes the default of a store that lacks one.

        Which of several is to be it, is for the user to say.
        """
        # Asked before it is there: of two that are published at once, one becomes the default.
        hidden = self._hidden_beside(draft.name)
        first = not hidden and self._is_only(draft.name)
        self._keep_only(draft.name)
        reference = self._reference(draft.name, publish_version(incoming, draft, after=after))

        def lacks_default(index: StoreIndex) -> bool:
            if index.default is None:
                return first
            # What is revised was there already, and was not chosen.
            return after is None and self._is_gone(index.default, index)

        def with_default(index: StoreIndex) -> StoreIndex:
            if not lacks_default(index):
                return index
            return index.model_copy(update={"default": draft.name})

        # The model is there, whether or not it can be made the default.
        try:
            index = self.index()
            if lacks_default(index):
                made_default = update_index(self.root, with_default).default == draft.name
                return replace(reference, made_default=made_default)
            if hidden and index.default is None and after is None:
                choose = self.command("model_store", "default", "NAME")
                return replace(reference, index_error=f"{hidden}; choose what answers: {choose}")
        except StoreError as error:
            return replace(reference, index_error=str(error))
        return reference

    def _keep_only(self, further: str) -> None:
        """Has a store's only model, which answers without being the default, do so beside another.

        It has become the default when it was saved, unless that was interrupted.
        """
        with suppress(StoreError):
            there = self.models()
            if len(there) != 1 or there[0].name == further or self.unreadable():
                return
            if self.index().default is not None:
                return
            # Beside one that cannot be loaded, the further one answers.
            only = self.inspect(there[0].name, there[0].version).name

            def with_default(index: StoreIndex) -> StoreIndex:
                if index.default is not None:
                    return index
                return index.model_copy(update={"default": only})

            update_index(self.root, with_default)

    def _is_gone(self, default: str, index: StoreIndex) -> bool:
        """Whether a store's default is a model that was there once."""
        # The shipped store names one of those before it is there.
        return default not in IMPORTED_MODELS and not self._listed(self._stands_for(default, index))

    def _is_only(self, name: str) -> bool:
        """Whether the store holds no other model, as far as can be seen."""
        try:
            return all(found.name == name for found in self.models())
        except StoreError:
            return False

    def _hidden_beside(self, name: str) -> str:
        """Why others cannot be listed at the moment, of which one may be what answers."""
        with suppress(StoreError):
            found = self.unreadable()
            return "; ".join(reason for other, reason in found.items() if other != name)
        return ""
