"""Runs under way: a folder each below the store, until the checkpoint is saved."""

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from model_store.errors import first_line
from model_store.files import remove_incoming, replace_file
from model_store.locks import locked
from model_store.manifest import check_name
from model_store.shortage import out_of_memory
from training.data.parts import Unusable
from training.data.split import SPLIT_FILE, Split
from training.errors import TrainingError
from training.history import History, to_csv
from training.recipe import Recipe
from training.recipe.files import parse_recipe, to_yaml
from training.recipe.plain import read_yaml
from training.run.state import Kept

RUNS = ".runs"
"""The folder of runs inside a store; no model can have that name."""

RECIPE_FILE = "recipe.yaml"
HISTORY_FILE = "history.csv"
START_FILE = "start.json"

_RECORD = "run.json"
_PUBLISHED = "published.json"
_STATE = "state.pt"
_LOCK = "lock"
_KEPT = "weights-*.pt"


class RunRecord(BaseModel):
    """What else is fixed when a run begins.

    Attributes:
        command: The command that began it.
        recipe: The recipe's name.
        reason: Why that recipe, if nobody chose it.
        tried: What else was tried before, and what it gave, as a table; empty if nothing was.
        warnings: What was said about the data and the recipe.
        unusable: Images that cannot be read or decoded, found before the first step; the run goes
            without them from its beginning.
        minutes: The time that its `max_steps` and `max_minutes` were set by; None where they are
            the recipe's.
        sha256: Of the files that are fixed beside it, in hexadecimal digits, by their names; of
            none in a run that began when none were kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    recipe: str
    reason: str = ""
    tried: str = ""
    warnings: tuple[str, ...] = ()
    minutes: float | None = None
    unusable: Unusable = Unusable()
    sha256: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("unusable", mode="before")
    @classmethod
    def _of_all_parts(cls, given: object) -> object:
        """A run that began when one list was kept for all parts goes on without those images."""
        if isinstance(given, list):
            return {"train": given, "validation": given, "calibration": given}
        return given


class Published(BaseModel):
    """Weights of a run that are in the store.

    Attributes:
        name: Of the model.
        step: Steps done when the weights were as they are there.
        version: Of the model.
        weights_sha256: As the version's manifest has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    step: int
    version: int
    weights_sha256: str


_NOTES = TypeAdapter(tuple[Published, ...])


class Run:
    """The folder of one run.

    Args:
        store: The root of the model store.
        name: The name of the model in the making.
        above: The run that it is a part of, if it is one: that one is then what is resumed.

    Attributes:
        cleared: Whether `clear` has been called.
    """

    def __init__(self, store: Path, name: str, above: "Run | None" = None) -> None:
        self.path = store / RUNS / check_name(name)
        self.name = name
        self._above = above
        self.cleared = False

    def below(self, folder: str, name: str) -> "Run":
        """A run that is a part of this one, in a folder of this one's."""
        return Run(self.path / folder, name, self)

    @property
    def state(self) -> Path:
        """Where the state is, or will be."""
        return self.path / _STATE

    @property
    def begun(self) -> bool:
        """Whether recipe and split are fixed."""
        return (self.path / _RECORD).is_file()

    @property
    def resumable(self) -> bool:
        """Whether there is a state to go on from."""
        return self.state.is_file()

    @property
    def can_go_on(self) -> bool:
        """Whether --resume finds something to go on from: its own state, or the one above."""
        return self.resumable or (self._above is not None and self._above.can_go_on)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out, until this one ends, however it ends.

        Raises:
            TrainingError: Another process has it, or the folder cannot be made.
        """
        with ExitStack() as held:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                (self.path / _LOCK).touch()
                # Where there are no locks, two fits at a time are the user's to avoid.
                alone = held.enter_context(locked(self.path / _LOCK, wait=False))
            except BlockingIOError as error:
                raise TrainingError(
                    f"'{self.name}' is being trained by another process; wait for it, stop it, or "
                    "choose another --name"
                ) from error
            except OSError as error:
                mended = (
                    "free space or mend the permissions, then go on with --resume"
                    if self.can_go_on
                    else "mend the permissions, or choose another --store"
                )
                raise TrainingError(
                    f"cannot make {self.path} ({error.strerror or error}); {mended}"
                ) from error
            if alone:
                # Each is as large as a whole state, and every kill may leave one more; but without
                # a lock, another process may be writing it.
                remove_incoming(self.path)
            yield

    def begin(self, recipe: Recipe, split: Split, record: RunRecord) -> None:
        """Fixes what must not change from here on. The record comes last: it marks the run."""
        fixed = {RECIPE_FILE: to_yaml(recipe), SPLIT_FILE: split.to_json()}
        for name, data in fixed.items():
            self._write(name, data)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in fixed.items()}
        record = record.model_copy(update={"sha256": digests})
        self._write(_RECORD, (record.model_dump_json(indent=2) + "\n").encode())

    def recipe(self) -> Recipe:
        """The recipe it began with.

        Raises:
            TrainingError, RecipeError: It cannot be read, or was changed since.
        """
        try:
            content = read_yaml(self._fixed(RECIPE_FILE))
        except ValueError as error:
            raise self._damaged(RECIPE_FILE, error) from error
        return parse_recipe(content, str(self.path / RECIPE_FILE))

    def split(self) -> Split:
        """The split it began with.

        Raises:
            TrainingError: As `recipe`.
        """
        try:
            return Split.from_json(self._fixed(SPLIT_FILE))
        except ValueError as error:
            raise self._damaged(SPLIT_FILE, error) from error

    def record(self) -> RunRecord:
        """How it began."""
        try:
            return RunRecord.model_validate_json(self._read(_RECORD))
        except ValidationError as error:
            raise self._damaged(_RECORD, error) from error

    def write_start(self, report: bytes) -> None:
        """Keeps what is known of the weights it starts from."""
        self._write(START_FILE, report)

    def start(self) -> bytes | None:
        """What was kept of that; None where all weights were drawn."""
        return self._read(START_FILE) if (self.path / START_FILE).is_file() else None

    def write_history(self, history: History) -> None:
        """Replaces `history.csv`."""
        self._write(HISTORY_FILE, to_csv(history))

    def write_state(self, state: bytes) -> None:
        """Replaces the state in one step: whoever reads finds the old one or this one, whole."""
        self._write(_STATE, state)

    def keep(self, kept: Kept) -> None:
        """Puts weights of a validation beside the state; the same again, if a run goes on."""
        content = io.BytesIO()
        torch.save((kept.step, kept.eer, dict(kept.weights)), content)
        self._write(_KEPT.replace("*", f"{kept.step:012}"), content.getvalue())

    def kept(self) -> Iterator[Kept]:
        """What was put there, in the order of its steps."""
        for path in sorted(self.path.glob(_KEPT)):
            data = self._read(path.name)
            try:
                kept = Kept(*torch.load(io.BytesIO(data), weights_only=True))
            except Exception as error:
                # Damage raises all kinds; for want of memory, nothing is damaged.
                if out_of_memory(error):
                    raise
                raise self._damaged(path.name, error) from error
            yield kept

    def note_published(self, published: Published) -> None:
        """Keeps what has come of the run, so that it is not put into the store a second time."""
        self._write(_PUBLISHED, _NOTES.dump_json((*self.published(), published), indent=2))

    def published(self) -> tuple[Published, ...]:
        """What was kept of that, the earliest first."""
        if not (self.path / _PUBLISHED).is_file():
            return ()
        try:
            return _NOTES.validate_json(self._read(_PUBLISHED))
        except ValidationError as error:
            raise self._damaged(_PUBLISHED, error) from error

    def clear(self) -> None:
        """Forgets everything but the lock."""
        self.cleared = True
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()

    def remove(self) -> None:
        """Takes the folder away."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _fixed(self, name: str) -> bytes:
        """The bytes of a file as the run began with it: what comes of the run tells of them."""
        data = self._read(name)
        if self.record().sha256.get(name) not in (None, hashlib.sha256(data).hexdigest()):
            raise TrainingError(
                f"{self.path / name} was changed after the run began; put it back as it was, or "
                "begin anew with --restart"
            )
        return data

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error) from error

    def _write(self, name: str, data: bytes) -> None:
        try:
            replace_file(self.path / name, data)
        except OSError as error:
            then = "go on with --resume" if self.can_go_on else "begin anew"
            raise TrainingError(
                f"cannot write {self.path / name} ({error.strerror or error}); free space or mend "
                f"the permissions, then {then}"
            ) from error

    def _damaged(self, name: str, error: Exception) -> TrainingError:
        why = getattr(error, "strerror", None) or first_line(error)
        return TrainingError(
            f"{self.path / name} cannot be read ({why}); begin anew with --restart"
        )
