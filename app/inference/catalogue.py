"""The models that are loaded, and which of them a request means."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from app.inference.engines.base import Engine, Features, UInt8Batch
from app.inference.errors import NotReady, UnknownModel
from app.inference.lane import Lane, Users
from app.inference.rows import Rows
from model_store import Manifest
from model_store.network import SiameseNetwork, Side
from model_store.typicality import Statistics, Typicality


class LoadedModel:
    """A version of a model, ready to embed and compare. Used from one thread only.

    Args:
        manifest: What it says of itself.
        network: For its comparator, on the CPU.
        engine: For its branches.
        typicality: What tells its own kind of images from others, if that is known.

    Attributes:
        manifest: As given.
        network: As given.
        engine: As given.
        typicality: As given.
        identity: Tells it from all others, and from another one that took its place under the same
            version.
    """

    def __init__(
        self,
        manifest: Manifest,
        network: SiameseNetwork,
        engine: Engine,
        typicality: Typicality | None = None,
    ) -> None:
        self.manifest = manifest
        self.network = network
        self.engine = engine
        self.typicality = typicality
        # Of all that is known of it: an embedding and its typicality hang on more than the weights.
        self.identity = f"{manifest.name}/{manifest.version}/{manifest.digest}"
        # Made once: every entry of the cache has one of them.
        self._remembered_as = {side: f"{self.identity}/{side}" for side in Side}
        self._users = Users()
        self._lanes = {
            side: Lane(
                manifest.name,
                engine,
                side,
                manifest.dimension,
                self._look,
                partial(self._finish, side),
                self._users,
            )
            for side in Side
        }

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The model's version."""
        return self.manifest.version

    @property
    def level(self) -> float | None:
        """The least typicality of an image in distribution; None where the model cannot tell."""
        return None if self.typicality is None else self.typicality.level

    def lane(self, side: Side) -> Lane:
        """The batcher's lane for images of that side; one for both where weights are shared."""
        return self._lanes[Side.LEFT if self.network.shares_weights else side]

    def remembered_as(self, side: Side) -> str:
        """What a cache keys on, with the image: one object for each lane."""
        return self._remembered_as[self.lane(side).side]

    @contextmanager
    def used(self) -> Iterator["LoadedModel"]:
        """Keeps the engine open while the block runs."""
        self._users.enter()
        try:
            yield self
        finally:
            if self._users.leave():
                self.engine.close()

    def retire(self) -> None:
        """Closes the engine as soon as no request, image or batch needs it."""
        if self._users.retire():
            self.engine.close()

    def _look(self, images: UInt8Batch) -> Statistics | None:
        return None if self.typicality is None else self.typicality.look(images)

    def _finish(self, side: Side, features: Features, seen: Statistics | None) -> Rows:
        embeddings = self.network.finish_array(features, side)
        if self.typicality is None:
            return Rows(embeddings)
        return Rows(embeddings, self.typicality.of(features, seen, side))


@dataclass(frozen=True)
class Refusal:
    """A model version that could not be loaded.

    Attributes:
        name: The model's name.
        version: Its version.
        error: Why, for users.
    """

    name: str
    version: int
    error: str


@dataclass(frozen=True)
class Catalogue:
    """What is loaded at one moment. Never changed: a new one takes its place.

    Attributes:
        models: By name.
        refused: Versions that were not loaded, and why.
        default: The model that answers where a request names none.
        default_unknown: Why it is not known which one that is; None where it is, or none is chosen.
        aliases: Further names.
        in_memory_only: Models that go on in a version that the store does not hold any more.
    """

    models: Mapping[str, LoadedModel] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    default: str | None = None
    default_unknown: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    in_memory_only: frozenset[str] = frozenset()

    @property
    def default_model(self) -> str | None:
        """The name of the loaded model that answers where a request names none."""
        if self.default is not None:
            model = self._called(self.default)
            return None if model is None else model.name
        return next(iter(self.models)) if len(self.models) == 1 else None

    def find(self, name: str | None) -> LoadedModel:
        """The model of that name or alias; the default one for None.

        Raises:
            UnknownModel: There is none; the message lists those there are.
            NotReady: No model is loaded at all.
        """
        if not self.models:
            raise NotReady("no model is loaded yet; ask /readyz for the reason")
        wanted = name if name is not None else self.default_model
        if wanted is not None:
            model = self._called(wanted)
            if model is not None:
                return model
        further = (alias for alias in self.aliases if self._called(alias) is not None)
        loaded = ", ".join(sorted({*self.models, *further}))
        if name is None:
            reason = (
                f"the default model '{self.default}' is not loaded{self.why_refused(self.default)}"
                if self.default
                else self.default_unknown or "no default model is set"
            )
            raise UnknownModel(f"{reason}; name a model: {loaded}")
        raise UnknownModel(
            f"no model '{name}' is loaded{self.why_refused(name)}; those that are: {loaded}"
        )

    def why_refused(self, name: str) -> str:
        """In brackets, why the newest refused version of a model was; empty where none was.

        Args:
            name: The model's name or an alias.
        """
        own = self.aliases.get(name, name)
        # The newest version comes last.
        errors = [refusal.error for refusal in self.refused if refusal.name == own]
        return f" ({errors[-1]})" if errors else ""

    def refused_now(self) -> dict[str, int]:
        """How many refused versions of each model would answer if they could be loaded; 0 for none.

        Those of before the version that answers would not, as long as the store holds that.
        """
        found = dict.fromkeys(self.models, 0)
        for refusal in self.refused:
            loaded = self.models.get(refusal.name)
            if (
                loaded is None
                or refusal.version >= loaded.version
                or refusal.name in self.in_memory_only
            ):
                found[refusal.name] = found.get(refusal.name, 0) + 1
        return found

    def aliases_of(self, name: str) -> list[str]:
        """The further names by which `find` finds the model of that name, in order."""
        return sorted(
            alias
            for alias, model in self.aliases.items()
            if model == name and alias not in self.models
        )

    def _called(self, name: str) -> LoadedModel | None:
        """The loaded model of that name, else of that alias, as `StoreReader.resolve` has it."""
        return self.models.get(name) or self.models.get(self.aliases.get(name, ""))
