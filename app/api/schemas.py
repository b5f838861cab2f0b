"""The shape of requests and answers, for programs that read the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from model_store.calibration import Calibration
from model_store.manifest import Evaluation
from model_store.metric import Metric
from model_store.typicality import TypicalityRecord

_PROTECTED = ConfigDict(protected_namespaces=(), frozen=True)
_TYPICALITY = (
    "The share of the model's own kind of images that lie as far out as this one, 0 to 1: next "
    "to 0 for a picture of something else. Null where the model cannot tell, and for what was sent "
    "as an embedding."
)


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Tells programs what kind of error it is.")
    title: str
    status: int
    detail: str = Field(description="What is wrong and what to do.")
    request_id: str


class JudgedAnswer(BaseModel):
    """What a model says of a pair."""

    model_config = _PROTECTED

    model: str
    version: int
    metric: Metric
    score: float = Field(description="In the unit and direction of `metric`.")
    probability: float | None = Field(
        description="Calibrated P(same); null for a model that is not calibrated."
    )
    threshold: float | None = Field(
        description="The score at which `same` begins; null for a model that is not calibrated."
    )
    same: bool | None = Field(description="Null for a model that is not calibrated.")
    in_distribution: bool | None = Field(
        description="Whether both images are of the kind that the model was calibrated on. If "
        "false, score, probability and `same` mean little. Null where that is not known: the model "
        "cannot tell, or an embedding was sent."
    )


class ComparisonAnswer(JudgedAnswer):
    """What a model says of two images."""

    typicality_a: float | None = Field(description=f"Of `image_a`. {_TYPICALITY}")
    typicality_b: float | None = Field(description="Of `image_b`, likewise.")


class RankedAnswer(JudgedAnswer):
    """What a model says of the query and one candidate."""

    index: int = Field(description="The candidate's place in the request, from 0.")
    typicality: float | None = Field(description=f"Of the candidate. {_TYPICALITY}")


class ManyAnswer(BaseModel):
    """Candidates, most alike first."""

    model_config = _PROTECTED

    model: str
    version: int
    metric: Metric
    query_typicality: float | None = Field(description=f"Of the query. {_TYPICALITY}")
    results: list[RankedAnswer]


class EmbedAnswer(BaseModel):
    """Embeddings, in the order of the images."""

    model_config = _PROTECTED

    model: str
    version: int
    dimension: int
    embeddings: list[list[float]]
    typicality: list[float | None] = Field(description=f"Of each image. {_TYPICALITY}")
    in_distribution: list[bool | None] = Field(
        description="Of each image, whether it is of the kind that the model was calibrated on; "
        "null where the model cannot tell."
    )


class InputAnswer(BaseModel):
    """What the network sees of an image."""

    height: int
    width: int
    mode: str
    resize: str


class EngineAnswer(BaseModel):
    """What runs the network, and why that."""

    name: str
    device: str
    precision: str
    reason: str


class ModelAnswer(BaseModel):
    """A loaded model."""

    model_config = _PROTECTED

    name: str
    version: int
    description: str
    metric: Metric
    dimension: int
    symmetric: bool
    input: InputAnswer
    default: bool
    aliases: list[str]
    calibration: Calibration | None
    typicality: TypicalityRecord | None = Field(
        description="From which typicality an image is in distribution, and what that was fitted "
        "to; null where the model cannot tell."
    )
    evaluations: list[Evaluation]
    engine: EngineAnswer


class RefusedAnswer(BaseModel):
    """A model version in the store that could not be loaded."""

    name: str
    version: int
    error: str


class ModelsAnswer(BaseModel):
    """All that is loaded, and what was refused."""

    default: str | None
    models: list[ModelAnswer]
    failed: list[RefusedAnswer]


class HealthAnswer(BaseModel):
    """A positive answer to a health check."""

    status: str


_FILE = {"type": "string", "format": "binary"}
_BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The file's bytes as base64.",
}
_MODEL = {"type": "string", "description": "Name or alias of a model; the default one if absent."}
_SIDE = {
    "type": "string",
    "enum": ["left", "right"],
    "default": "left",
    "description": "Which side the images are on; matters to models with two branches only.",
}
_EMBEDDING = {"type": "array", "items": {"type": "number"}, "minItems": 1}


def _object(required: list[str], **properties: object) -> dict[str, Any]:
    return {
        "schema": {
            "type": "object",
            "required": required,
            "properties": properties,
            "additionalProperties": False,
        }
    }


class ReloadAnswer(BaseModel):
    """What is loaded after a look through the store.

    Attributes:
        models: Versions by name.
        refused: `name/version` of those that could not be loaded.
    """

    models: dict[str, int]
    refused: list[str]


def _body(**content: object) -> dict[str, Any]:
    types = {"multipart": "multipart/form-data", "json": "application/json", "raw": "image/*"}
    return {
        "requestBody": {
            "required": True,
            "content": {types[kind]: schema for kind, schema in content.items()},
        }
    }


COMPARE_BODY = _body(
    multipart=_object(["image_a", "image_b"], image_a=_FILE, image_b=_FILE, model=_MODEL),
    json=_object(["image_a", "image_b"], image_a=_BASE64, image_b=_BASE64, model=_MODEL),
)

MANY_BODY = _body(
    multipart=_object(
        ["query"],
        query=_FILE,
        candidates={"type": "array", "items": _FILE, "minItems": 1},
        embeddings=_FILE
        | {
            "description": "In place of `candidates`: embeddings as /embed gives them for "
            "`Accept: application/octet-stream`, raw little-endian float32."
        },
        model=_MODEL,
    ),
    json=_object(
        ["query", "candidates"],
        query={"oneOf": [_BASE64, _EMBEDDING]},
        candidates={
            "oneOf": [
                {"type": "array", "items": _BASE64, "minItems": 1},
                {"type": "array", "items": _EMBEDDING, "minItems": 1},
            ],
            "description": "Images as base64, or embeddings of the same model; not both.",
        },
        model=_MODEL,
    ),
)

EMBED_BODY = _body(
    multipart=_object(
        ["images"],
        images={"type": "array", "items": _FILE, "minItems": 1},
        model=_MODEL,
        side=_SIDE,
    ),
    json=_object(
        ["images"],
        images={"oneOf": [_BASE64, {"type": "array", "items": _BASE64, "minItems": 1}]},
        model=_MODEL,
        side=_SIDE,
    ),
    raw={"schema": _FILE},
)


def parameters(*names: str) -> list[dict[str, Any]]:
    """The query parameters of these names, and the header that every working route reads."""
    schemas = {"model": _MODEL, "side": _SIDE}
    return [
        *({"name": name, "in": "query", "schema": schemas[name]} for name in names),
        {
            "name": "X-Request-Timeout",
            "in": "header",
            "description": "Seconds; shortens the time the request may take.",
            "schema": {"type": "number", "exclusiveMinimum": 0},
        },
    ]


_PROBLEMS = {
    400: "Malformed request.",
    401: "An API key is asked for, and none that is good was sent.",
    403: "The API key may not be used for this.",
    404: "No such model.",
    408: "The body was not there in time.",
    413: "Too many bytes.",
    415: "Not an image type, or not a body type, that is read.",
    422: "An image that cannot be decoded, or is over the pixel limit.",
    429: "The queue is full, or the key's rate is used up; `Retry-After` says when to come back.",
    500: "The model failed on this image.",
    503: "Not ready, or draining.",
    504: "The request's time was over.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route; all that a working route can give if none are named."""
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": reference},
        }
        for status in statuses or _PROBLEMS
    }
