"""The sections of a recipe, each checked by itself."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.components import Component

Share = Annotated[float, Field(ge=0, lt=1)]
LEAST_RATE = 1e-9
"""Of pairs or images, that may be asked for: hardly any data have as many, and ten over a far
smaller one is no number any more."""

Rate = Annotated[float, Field(ge=LEAST_RATE, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a recipe: its keys are these and no others, and stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """How images are read.

    Attributes:
        memory_share: Share of the free memory that decoded images may take; data that needs more
            is decoded as it is wanted.
        workers: Threads that decode; one a core if not given.
        turned_classes: Whether each class also counts as three further classes, by quarter turns.
            For characters, whose inputs must be square.
    """

    memory_share: Share = 0.5
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    turned_classes: bool = False


class Optimiser(Section):
    """How weights follow gradients.

    Attributes:
        name: `sgd`, `adam` or `adamw`.
        learning_rate: At its peak.
        reference_batch: If given, the rate is for steps of that size, and is scaled in proportion
            to `batch` times `batches_per_step`.
        weight_decay: Of weights of two or more dimensions.
        momentum: Of SGD; of Adam, the decay of the first moment.
        nesterov: Whether SGD's momentum looks ahead (Nesterov).
        backbone_factor: What the backbone's learning rate is multiplied by.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive
    reference_batch: Annotated[int, Field(ge=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    momentum: Share = 0.9
    nesterov: bool = True
    backbone_factor: Positive = 1.0


IMAGENET = "imagenet"
"""What `start.backbone` is for the ImageNet weights that a library has for the architecture."""

DLIB = "dlib"
"""What it is for the weights that dlib has published for faces."""


class Start(Section):
    """The weights that training starts from. What nothing is given for is drawn from the seed.

    In a recipe, `start: imagenet` stands for `start: {backbone: imagenet}`, and so does `dlib`.

    Attributes:
        backbone: `imagenet`, `dlib`, or a file of weights: .safetensors, or .pth with a state
            dictionary.
        right_backbone: The same for the right branch of a pseudo-Siamese network, where it is to
            start from other weights than the left.
        model: A model of the store, an alias of one, or the folder of a version: all its weights
            that fit.
        same_sides: Whether two branches of one specification start from the same weights.
        projection: `whitening` for the linear map under which the training images of one class,
            as the starting backbone sees them, lie alike in all directions: see
            `training.initialise.whitening`. None for a map drawn from the seed.
        share: How much of the starting weights is kept: the model's weights are this share of
            them and the rest of the trained ones (see `training.learning.anchor`). For data with
            few classes, where the model is to serve for others, too.
    """

    backbone: str | None = None
    right_backbone: str | None = None
    model: str | None = None
    same_sides: bool = True
    projection: Literal["whitening"] | None = None
    share: Share = 0.0

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, given: object) -> object:
        if given is None:
            return {}
        return {"backbone": given} if given in (IMAGENET, DLIB) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.model is not None and (self.backbone or self.right_backbone):
            raise ValueError("give a backbone's weights or a whole model, not both")
        if self.share and not (self.model or self.backbone):
            raise ValueError(
                "a share of the starting weights is worth keeping only where training "
                "starts from a backbone's weights or a model: give start.backbone or start.model"
            )
        return self


class Finish(Section):
    """What is done with the trained network.

    Attributes:
        projection: To set the trained projection anew in closed form, by the training images as
            the trained network sees them: `whitening`, as `start.projection` does it; or
            `discriminant`, which is that and keeps only what tells the training classes apart: for
            models that are to know those again; on others it loses. None to leave the projection
            as it was trained.
    """

    projection: Literal["whitening", "discriminant"] | None = None


class Freeze(Section):
    """What does not change at first.

    Attributes:
        backbone_epochs: Passes through the data in which the backbone stays as it is, weights and
            running statistics, while what follows it learns; `all` for the whole training.
        statistics: Whether the backbone's batch normalisation uses its running statistics, and
            leaves them, for the whole training, though its weights may learn. For short trainings
            from weights that were learnt on many images.
    """

    backbone_epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["all"] = 0.0
    statistics: bool = False

    def steps(self, epoch_steps: float) -> float:
        """The first steps in which the backbone is frozen; endless for `all`."""
        if self.backbone_epochs == "all":
            return math.inf
        return self.backbone_epochs * epoch_steps


class Schedule(Component):
    """How the learning rate goes on.

    Attributes:
        warm_up: The share of the training over which it rises from 0 to its peak.
    """

    warm_up: Share = 0.0


class Validation(Section):
    """How training is watched.

    Attributes:
        times: How often it is validated, evenly spread up to the end; 0 for not at all.
        first: Whether it is also validated before the first step, so that the weights it starts
            from may be the best. For a start that is of use already.
        images: Of more validation images so many are drawn for that: a few of each of many
            classes, of those first that have a pair.
        keep: Which weights are kept: the `last`; or the `best` of those validated by equal error
            rate; or `both`, the last as a version of the model and the best as the next one; or
            `every` one validated, the earlier ones as models of their own, called after the model
            and the step. The figures of the `best` flatter, as they chose it.
        patience: Training ends early once so many validations in a row have brought no lower
            equal error rate; None for never. A schedule that lowers the learning rate is then cut
            off before its end: `keep: best` goes well with it.
    """

    times: Annotated[int, Field(ge=0)] = 10
    first: bool = False
    images: Annotated[int, Field(ge=4)] = 4000
    keep: Literal["last", "best", "both", "every"] = "last"
    patience: Annotated[int, Field(ge=1)] | None = None


class Guard(Section):
    """What is done about a training that collapses: all images embedded alike, or by chance.

    Attributes:
        action: `stop` ends the training, keeps its state and exits with an error; `warn` only
            says so; `ignore` not even that.
        after: The share of the training before which nothing is concluded.
        least_steps: Steps before which nothing is concluded.
    """

    action: Literal["stop", "warn", "ignore"] = "stop"
    after: Share = 0.3
    least_steps: Annotated[int, Field(ge=0)] = 200


class CalibrationTarget(Section):
    """What the threshold is chosen for.

    Attributes:
        far: The false-accept rate.
        prior: The share of genuine pairs that probabilities assume.
        folds: Trainings over again, each without its part of all classes, whose pairs then
            calibrate (`training.retraining`); 0 for none.
    """

    far: Rate = 0.01
    prior: Rate = 0.5
    folds: Annotated[int, Field(ge=0, le=20)] = 0

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if self.folds == 1:
            raise ValueError("one part of all classes is all of them: give 2 folds or more, or 0")
        return self
