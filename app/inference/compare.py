"""The use cases: embed images, compare two, compare one with many."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.inference.catalogue import Catalogue, LoadedModel
from app.inference.embedder import Embedder, EncodedImage
from app.inference.engines.base import Embeddings
from app.inference.errors import InvalidInput
from app.inference.rows import Floats, Rows
from app.inference.scoring import Judgement, check_values, judge
from app.inference.threads import in_thread
from app.observability.metrics import Metrics
from model_store.typicality import in_distribution

# Scoring this many values takes well under a millisecond; more is not done on the event loop.
_VALUES_INLINE = 65_536


@dataclass(frozen=True)
class Embedded:
    """Embeddings and the model that made them.

    Attributes:
        model: The model.
        embeddings: float32 (N, dimension).
        typicality: (N,), how typical each image is of the model's own kind; None where it cannot
            tell.
    """

    model: LoadedModel
    embeddings: Embeddings
    typicality: Floats | None = None

    @property
    def in_distribution(self) -> list[bool | None]:
        """Whether each image is of the model's own kind."""
        values = [None] * len(self.embeddings) if self.typicality is None else self.typicality
        return [in_distribution(self.model.level, value) for value in values]


@dataclass(frozen=True)
class Comparison:
    """What a model says of a pair, or of one query and many candidates.

    Attributes:
        model: The model.
        judgement: One entry a pair; for many candidates in the order of `ranking`.
        ranking: (N,), the candidates' indices, most alike first; equal scores keep their
            order.
        query_typicality: How typical the query is of the model's own kind of images; None where
            the model cannot tell, and for an embedding.
        typicality: (N,), of the candidates in the order of `ranking`; None likewise.
    """

    model: LoadedModel
    judgement: Judgement
    ranking: npt.NDArray[np.intp]
    query_typicality: float | None = None
    typicality: Floats | None = None

    @property
    def in_distribution(self) -> list[bool | None]:
        """For each candidate, whether it and the query are of the model's own kind."""
        level, query = self.model.level, self.query_typicality
        if self.typicality is None:
            return [in_distribution(level, query, None)] * len(self.ranking)
        return [in_distribution(level, query, value) for value in self.typicality.tolist()]


class Inference:
    """What can be asked of the loaded models. Used on one event loop.

    Args:
        catalogue: Gives the catalogue of this moment.
        embedder: Embeds images.
        max_images: Most images in one call.
        metrics: Where scoring times go on record.
    """

    def __init__(
        self,
        *,
        catalogue: Callable[[], Catalogue],
        embedder: Embedder,
        max_images: int,
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._embedder = embedder
        self._max_images = max_images
        self._metrics = metrics

    def check_count(self, images: int) -> None:
        """Refuses more images than one call may have; may be asked before they are decoded.

        Raises:
            InvalidInput: There are too many.
        """
        if images > self._max_images:
            raise InvalidInput(
                f"{images:,} images are over the limit of {self._max_images} a request; "
                "send them in several requests"
            )

    async def embed(self, images: Sequence[EncodedImage], model: str | None = None) -> Embedded:
        """Embeds images.

        Args:
            images: At least one.
            model: A name or alias; None for the default model.

        Raises:
            UnknownModel: No such model is loaded.
            InvalidInput: No image, or too many.
            ImageError, InferenceError: As `Embedder.embed`.
        """
        with self._model(model) as chosen:
            rows = await self._embed(chosen, images)
            return Embedded(chosen, rows.embeddings, rows.typicality)

    async def compare(
        self, left: EncodedImage, right: EncodedImage, model: str | None = None
    ) -> Comparison:
        """Compares two images.

        Raises:
            UnknownModel, ImageError, InferenceError: As `embed`.
        """
        with self._model(model) as chosen:
            rows = await self._embed(chosen, [left, right])
            found = await self._judge(chosen, rows.embeddings[0], rows.embeddings[1:])
            return _with_typicality(found, rows, query_sent=True)

    async def compare_many(
        self,
        query: EncodedImage | Embeddings,
        candidates: Sequence[EncodedImage] | Embeddings,
        model: str | None = None,
        label: str = "candidates",
    ) -> Comparison:
        """Compares one query with many candidates and ranks them.

        Args:
            query: An image, or an embedding (dimension,).
            candidates: Images, or embeddings (N, dimension).
            model: A name or alias; None for the default model.
            label: What messages call the candidates.

        Raises:
            InvalidInput: No candidate, too many images, or embeddings that are not the model's.
            UnknownModel, ImageError, InferenceError: As `embed`.
        """
        if not len(candidates):
            raise InvalidInput("there are no candidates; send at least one")
        with self._model(model) as chosen:
            images = [query] if isinstance(query, EncodedImage) else []
            if not isinstance(query, EncodedImage):
                _check_width(chosen, "query", query[None])
                check_values("query", query[None])
            if isinstance(candidates, np.ndarray):
                _check_width(chosen, label, candidates)
            else:
                images.extend(candidates)
            rows = await self._embed(chosen, images) if images else _nothing(chosen)
            left = rows.embeddings[0] if isinstance(query, EncodedImage) else query
            right = candidates
            if not isinstance(right, np.ndarray):
                right = rows.embeddings[len(rows.embeddings) - len(right) :]
            found = await self._judge(chosen, left, right, label)
            return _with_typicality(found, rows, query_sent=isinstance(query, EncodedImage))

    def _model(self, name: str | None) -> AbstractContextManager[LoadedModel]:
        return self._catalogue().find(name).used()

    async def _embed(self, model: LoadedModel, images: Sequence[EncodedImage]) -> Rows:
        if not images:
            raise InvalidInput("there are no images; send at least one")
        self.check_count(len(images))
        rows = await self._embedder.embed(model, images)
        if rows.typicality is not None:
            self._metrics.distributions.typicality(model.manifest, rows.typicality)
        return rows

    async def _judge(
        self, model: LoadedModel, left: Embeddings, right: Embeddings, label: str = "candidates"
    ) -> Comparison:
        with self._metrics.timed("score"):
            if right.size <= _VALUES_INLINE:
                found = _rank(model, judge(model, left, right, label))
            else:
                found = await in_thread(lambda: _rank(model, judge(model, left, right, label)))
        self._metrics.distributions.scores(model.manifest, found.judgement.scores)
        return found


def _rank(model: LoadedModel, judgement: Judgement) -> Comparison:
    towards = -1 if model.manifest.metric.higher_is_alike else 1
    ranking = np.argsort(towards * judgement.scores, kind="stable")
    return Comparison(
        model,
        Judgement(
            judgement.scores[ranking],
            None if judgement.probabilities is None else judgement.probabilities[ranking],
            None if judgement.same is None else judgement.same[ranking],
            judgement.threshold,
        ),
        ranking,
    )


def _with_typicality(found: Comparison, rows: Rows, *, query_sent: bool) -> Comparison:
    """Adds what is known of the images, the query's first if it was sent as one."""
    if rows.typicality is None or not len(rows.typicality):
        return found
    query = float(rows.typicality[0]) if query_sent else None
    rest = rows.typicality[1:] if query_sent else rows.typicality
    # Candidates that were sent as embeddings have no rows.
    candidates = rest[found.ranking] if len(rest) else None
    return replace(found, query_typicality=query, typicality=candidates)


def _nothing(model: LoadedModel) -> Rows:
    return Rows(np.empty((0, model.manifest.dimension), np.float32))


def _check_width(model: LoadedModel, label: str, rows: Embeddings) -> None:
    dimension = model.manifest.dimension
    if rows.ndim != 2 or rows.shape[1] != dimension:
        width = rows.shape[-1] if rows.ndim else 0
        raise InvalidInput(
            f"{label}: embeddings of model '{model.name}' have {dimension} values, and those sent "
            f"have {width}; embed with the model that compares"
        )
