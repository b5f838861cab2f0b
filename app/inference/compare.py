"""The use cases: embed images, compare two, compare one with many."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.inference.catalogue import Catalogue, LoadedModel
from app.inference.embedder import Embedder, EncodedImage
from app.inference.engines.base import Embeddings
from app.inference.errors import InvalidInput
from app.inference.scoring import Judgement, judge
from app.observability.metrics import Metrics

# Scoring this many values takes well under a millisecond; more is not done on the event loop.
_VALUES_INLINE = 65_536


@dataclass(frozen=True)
class Embedded:
    """Embeddings and the model that made them.

    Attributes:
        model: The model.
        embeddings: float32 (N, dimension).
    """

    model: LoadedModel
    embeddings: Embeddings


@dataclass(frozen=True)
class Comparison:
    """What a model says of a pair, or of one query and many candidates.

    Attributes:
        model: The model.
        judgement: One entry a pair; for many candidates in the order of `ranking`.
        ranking: (N,), the candidates' indices, most alike first; equals keep their order.
    """

    model: LoadedModel
    judgement: Judgement
    ranking: npt.NDArray[np.intp]


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
            return Embedded(chosen, await self._embed(chosen, images))

    async def compare(
        self, left: EncodedImage, right: EncodedImage, model: str | None = None
    ) -> Comparison:
        """Compares two images.

        Raises:
            UnknownModel, ImageError, InferenceError: As `embed`.
        """
        with self._model(model) as chosen:
            rows = await self._embed(chosen, [left, right])
            return await self._judge(chosen, rows[0], rows[1:])

    async def compare_many(
        self,
        query: EncodedImage | Embeddings,
        candidates: Sequence[EncodedImage] | Embeddings,
        model: str | None = None,
    ) -> Comparison:
        """Compares one query with many candidates and ranks them.

        Args:
            query: An image, or an embedding (dimension,).
            candidates: Images, or embeddings (N, dimension).
            model: A name or alias; None for the default model.

        Raises:
            InvalidInput: No candidate, too many images, or embeddings that are not the model's.
            UnknownModel, ImageError, InferenceError: As `embed`.
        """
        if not len(candidates):
            raise InvalidInput("there are no candidates; send at least one")
        with self._model(model) as chosen:
            images = [query] if isinstance(query, EncodedImage) else []
            if not isinstance(query, EncodedImage):
                _check_embeddings(chosen, "query", query[None])
            if isinstance(candidates, np.ndarray):
                _check_embeddings(chosen, "candidates", candidates)
            else:
                images.extend(candidates)
            rows = await self._embed(chosen, images) if images else _nothing(chosen)
            left = rows[0] if isinstance(query, EncodedImage) else query
            right = candidates
            if not isinstance(right, np.ndarray):
                right = rows[len(rows) - len(right) :]
            return await self._judge(chosen, left, right)

    @contextmanager
    def _model(self, name: str | None) -> Iterator[LoadedModel]:
        with self._catalogue().find(name).used() as model:
            yield model

    async def _embed(self, model: LoadedModel, images: Sequence[EncodedImage]) -> Embeddings:
        if not images:
            raise InvalidInput("there are no images; send at least one")
        if len(images) > self._max_images:
            raise InvalidInput(
                f"{len(images)} images are over the limit of {self._max_images} a request; "
                "send them in several requests"
            )
        return await self._embedder.embed(model, images)

    async def _judge(self, model: LoadedModel, left: Embeddings, right: Embeddings) -> Comparison:
        with self._metrics.timed("score"):
            if right.size <= _VALUES_INLINE:
                return _rank(model, judge(model, left, right))
            return await asyncio.to_thread(lambda: _rank(model, judge(model, left, right)))


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


def _nothing(model: LoadedModel) -> Embeddings:
    return np.empty((0, model.manifest.dimension), np.float32)


def _check_embeddings(model: LoadedModel, label: str, rows: Embeddings) -> None:
    dimension = model.manifest.dimension
    if rows.ndim != 2 or rows.shape[1] != dimension:
        width = rows.shape[-1] if rows.ndim else 0
        raise InvalidInput(
            f"{label}: embeddings of model '{model.name}' have {dimension} values, and those sent "
            f"have {width}; embed with the model that compares"
        )
    if not np.isfinite(rows).all():
        raise InvalidInput(f"{label}: embeddings must be finite numbers of float32's range")
