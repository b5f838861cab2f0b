"""What a checkpoint says of itself: everything `app` needs to serve it, and where it came from."""

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from model_store.calibration import Calibration
from model_store.errors import CheckpointDamaged, FormatTooNew, InvalidName
from model_store.metric import Metric
from model_store.network.specification import NetworkSpec
from model_store.preprocessing import Preprocessing
from model_store.probe import ProbeRecord
from model_store.recorded import FileRecord
from model_store.typicality import TypicalityRecord

FORMAT = 2
"""The newest format of `manifest.json` that this code reads.

It writes the oldest that can say what is said, so that older releases, which read no newer one,
read all that they can: while a service is upgraded, both serve one store.
"""

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_FORMAT_KEY = "format"
_DIGEST_KEY = "digest"
_OF_CALIBRATION = ("at_threshold", "calibration_error", "calibration_error_interval")

StoredType = Literal["float32", "float16"]
"""What weights are stored as."""


class WeightsFile(FileRecord):
    """The safetensors file with the weights.

    Attributes:
        sha256: As `FileRecord`.
        bytes: As `FileRecord`.
        dtype: The type floating-point tensors are stored in; networks run in float32 regardless.
        parameters: Values in the network's parameters.
    """

    dtype: StoredType = "float32"
    parameters: Annotated[int, Field(ge=0)]


class Evaluation(BaseModel):
    """The figures of one evaluation.

    Attributes:
        protocol: The protocol's name, as `python -m training evaluate --protocol` takes it.
        data: What was evaluated on, in words.
        data_digest: SHA-256 over the images.
        figures: What was measured, as the protocol's JSON has it.
        calibrated_by: Where figures of a calibration are not of the model's own, because that has
            seen these images: the images that another was made by, in words.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True
    )

    protocol: str
    data: str
    data_digest: str = ""
    figures: dict[str, JsonValue]
    calibrated_by: str = ""

    def without_calibration(self) -> "Evaluation":
        """The same without the figures of a calibration, as if the model had had none."""
        dropped = dict.fromkeys(key for key in _OF_CALIBRATION if key in self.figures)
        figures = {**self.figures, **dropped}
        return self.model_copy(update={"figures": figures, "calibrated_by": ""})


class Provenance(BaseModel):
    """Where the weights came from.

    Attributes:
        command: The command that made them.
        recipe: The recipe, whole.
        seed: The seed of all randomness, if there was any.
        data: What they were trained on, in words.
        data_digest: SHA-256 over the images.
        libraries: Versions of the libraries that took part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str = ""
    recipe: dict[str, JsonValue] = {}
    seed: int | None = None
    data: str = ""
    data_digest: str = ""
    libraries: dict[str, str] = {}


class Manifest(BaseModel):
    """The whole of `manifest.json`, but for its format and its own digest.

    Attributes:
        name: The model's name, a folder name and a URL segment.
        version: 1 for the first checkpoint of that name, and so on.
        created: When it was saved.
        description: What it is good for, in a sentence.
        network: From which the network is built.
        preprocessing: How an image becomes its input.
        metric: What its scores mean.
        symmetric: Whether the order of the two images can never change the score.
        dimension: Values of an embedding.
        weights: The file with the weights.
        calibration: None until calibrated; there is then no probability and no decision.
        typicality: What tells its own kind of images from others; None where that is not known.
        probe: What the network made of known pictures; None in checkpoints saved without.
        evaluations: What was measured, newest last.
        provenance: Where the weights came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    version: Annotated[int, Field(ge=1)]
    created: datetime
    description: str = ""
    network: NetworkSpec
    preprocessing: Preprocessing
    metric: Metric
    symmetric: bool
    dimension: Annotated[int, Field(ge=1)]
    weights: WeightsFile
    calibration: Calibration | None = None
    typicality: TypicalityRecord | None = None
    probe: ProbeRecord | None = None
    evaluations: tuple[Evaluation, ...] = ()
    provenance: Provenance = Provenance()

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says, the digests of the other files among it."""
        return _digest(_content(self))


def check_name(name: str) -> str:
    """The name itself, if it can be a model's.

    Raises:
        InvalidName: It cannot.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidName(
            f"'{name}' cannot be a model's name: use 1 to 63 lower-case letters, digits, '-' and "
            "'_', beginning with a letter or digit"
        )
    return name


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest as the JSON file that `from_bytes` reads, its own digest included."""
    content = _content(manifest)
    content[_DIGEST_KEY] = _digest(content)
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def from_bytes(data: bytes, path: Path) -> Manifest:
    """Reads a manifest and checks it against its own digest.

    Args:
        data: The file's bytes.
        path: Where they came from, for messages.

    Raises:
        FormatTooNew: The format is newer than `FORMAT`.
        CheckpointDamaged: Not JSON, not what its digest says, or not a manifest.
    """
    try:
        content = json.loads(data)
    # Besides those of JSON and UTF-8, a ValueError is what an integer of thousands of digits gives.
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(
            f"{path} is not valid JSON ({error}); restore it from a copy or train again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointDamaged(f"{path} is not a manifest; restore it from a copy or train again")
    found = content.get(_FORMAT_KEY, 1)
    if isinstance(found, int) and found > FORMAT:
        raise FormatTooNew(
            f"{path} has format {found}, and this Twinlens reads formats up to {FORMAT}; "
            "upgrade Twinlens"
        )
    if content.pop(_DIGEST_KEY, None) != _digest(content):
        raise CheckpointDamaged(
            f"{path} was changed after it was written (its digest does not match its content); "
            "restore it from a copy or train again"
        )
    if found not in range(1, FORMAT + 1):
        raise CheckpointDamaged(
            f"{path}: {_FORMAT_KEY}: {found!r} is none; correct the program that wrote it"
        )
    content.pop(_FORMAT_KEY, None)
    try:
        return Manifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CheckpointDamaged(
            f"{path}: {field}: {first['msg']}; correct the program that wrote it"
        ) from error


def _content(manifest: Manifest) -> dict[str, Any]:
    """What is written of a manifest, in the oldest format that can say it."""
    content = manifest.model_dump(mode="json")
    calibration, oldest = manifest.calibration, 1
    if calibration is not None:
        if calibration.impostors is None:
            del content["calibration"]["impostors"]
        # Format 1 knows neither, and refuses what it does not know.
        if calibration.impostors is not None or calibration.classes < 2:
            oldest = 2
    return {_FORMAT_KEY: oldest, **content}


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
