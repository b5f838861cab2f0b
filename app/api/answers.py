"""The shape of answers, for programs that read the OpenAPI document."""

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

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:twinlens:problem:unknown-model",
                "title": "Not Found",
                "status": 404,
                "detail": "no model 'nope' is loaded; those that are: glyphs, photos",
                "request_id": "836d5acddc4df8fb",
            }
        }
    )

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

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "photos",
                "version": 1,
                "metric": "cosine_similarity",
                "score": 0.8148435950279236,
                "probability": 0.9909932885683606,
                "threshold": 0.7221559584140778,
                "same": True,
                "in_distribution": True,
                "typicality_a": 0.4627035213934116,
                "typicality_b": 0.3676637637258614,
            }
        }
    )

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
    weights_sha256: str = Field(
        description="Digest of the weights: where replicas tell the same, they compute the same "
        "embeddings, but for the precision of their engines."
    )
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


class ReloadAnswer(BaseModel):
    """What is loaded after a look through the store.

    Attributes:
        models: Versions by name.
        refused: `name/version` of those that could not be loaded.
    """

    models: dict[str, int]
    refused: list[str]
