"""What a training is, as data: a YAML file, checked before anything runs."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_store.network import NetworkSpec
from model_store.preprocessing import Preprocessing
from training.components import Component, check
from training.data.augmentation import AUGMENTATIONS
from training.data.sampling import SAMPLERS
from training.losses import LOSSES
from training.schedules import SCHEDULES

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Section):
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


class SplitShares(_Section):
    """Which share of the classes is kept from training, where the data brings no split.

    Attributes:
        validation: Judges the model.
        calibration: Calibrates it.
    """

    validation: Share = 0.15
    calibration: Share = 0.15


class Optimiser(_Section):
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
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Share = 0.9
    nesterov: bool = True
    backbone_factor: Positive = 1.0


IMAGENET = "imagenet"
"""What `start.backbone` is for the ImageNet weights that a library has for the architecture."""

DLIB = "dlib"
"""What it is for the weights that dlib has published for faces."""


class Start(_Section):
    """The weights that training starts from. What nothing is given for is drawn from the seed.

    In a recipe, `start: imagenet` stands for `start: {backbone: imagenet}`, and so does `dlib`.

    Attributes:
        backbone: `imagenet`, `dlib`, or a file of weights: .safetensors, or .pth with a state
            dictionary.
        right_backbone: The same for the right branch of a pseudo-Siamese network, where it is to
            start from other weights than the left.
        model: A model of the store, or the folder of a version: all its weights that fit.
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


class Finish(_Section):
    """What is done with the trained network.

    Attributes:
        projection: `discriminant` to set the projection anew in closed form, by the training
            images as the trained backbone sees them: as `start.projection: whitening`, and only
            what tells the training classes apart is kept. For models that are to know those again;
            on others it loses. None to leave the projection as it was trained.
    """

    projection: Literal["discriminant"] | None = None


class Freeze(_Section):
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


class Validation(_Section):
    """How training is watched.

    Attributes:
        times: How often it is validated, evenly spread up to the end; 0 for not at all.
        first: Whether it is also validated before the first step, so that the weights it starts
            from may be the best. For a start that is of use already.
        images: At most so many images of the validation classes are used for that.
        keep: Which weights are kept: the `last`; or the `best` of those validated by equal error
            rate; or `both`, the last as a version of the model and the best as the next one. The
            figures of the `best` flatter, as they chose it.
        patience: Training ends early once so many validations in a row have brought no lower
            equal error rate; None for never. A schedule that lowers the learning rate is then cut
            off before its end: `keep: best` goes well with it.
    """

    times: Annotated[int, Field(ge=0)] = 10
    first: bool = False
    images: Annotated[int, Field(ge=4)] = 4000
    keep: Literal["last", "best", "both"] = "last"
    patience: Annotated[int, Field(ge=1)] | None = None


class Guard(_Section):
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


class CalibrationTarget(_Section):
    """What the threshold is chosen for.

    Attributes:
        far: The false-accept rate.
        prior: The share of genuine pairs that probabilities assume.
    """

    far: Annotated[float, Field(gt=0, lt=1)] = 0.01
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Recipe(_Section):
    """The whole of a recipe file.

    Attributes:
        description: What it is good for, in a sentence; becomes the model's description.
        network: What is trained.
        preprocessing: What it sees.
        data: How images are read.
        split: Which classes are kept from training.
        start: The weights that training starts from.
        freeze: What does not change at first.
        finish: What is done once it is trained.
        sampling: What a step consists of.
        augmentation: How images vary.
        loss: What is lowered.
        optimiser: How.
        schedule: At which rate.
        batch: The size of a batch: images, or pairs where the sampler draws pairs.
        batches_per_step: Batches whose gradients are averaged for a step. On a CPU they are
            worked on side by side; elsewhere one after another, which needs memory for one.
        epochs: Passes through the data; or
        max_steps: steps; 0 to keep the weights it starts from. Where both are given, whichever is
            less.
        max_minutes: Minutes of training after which the next validation ends it, wherever it is in
            its schedule; None for no such end.
        precision: What the network computes in: `float32`; `bf16` or `fp16` by autocast, the
            latter with scaled gradients; or `auto`, which is `bf16` on a GPU and `float32` on a
            CPU, where few are faster with bf16.
        synchronised_batch_norm: Whether processes that train together normalise by the statistics
            of all their batches. On GPUs only.
        mean_decay: Decay of the moving average of weights that is kept in place of the weights.
        clip: Largest norm of the gradient of all parameters together.
        seed: Of all randomness.
        weights: What weights are stored as.
        validation: How training is watched.
        guard: What is done about a collapse.
        calibration: What the threshold is chosen for.
    """

    description: str
    network: NetworkSpec
    preprocessing: Preprocessing
    data: Data = Data()
    split: SplitShares = SplitShares()
    start: Start = Start()
    freeze: Freeze = Freeze()
    finish: Finish = Finish()
    sampling: Component
    augmentation: Component = Component(name="none")
    loss: Component
    optimiser: Optimiser
    schedule: Schedule = Schedule(name="cosine")
    batch: Annotated[int, Field(ge=2)]
    batches_per_step: Annotated[int, Field(ge=1, le=256)] = 1
    epochs: Positive | None = None
    max_steps: Annotated[int, Field(ge=0)] | None = None
    max_minutes: Positive | None = None
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    synchronised_batch_norm: bool = False
    mean_decay: Share | None = None
    clip: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    weights: Literal["float32", "float16"] = "float32"
    validation: Validation = Validation()
    guard: Guard = Guard()
    calibration: CalibrationTarget = CalibrationTarget()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("give epochs, or max_steps, or both")
        if self.data.turned_classes and self.preprocessing.height != self.preprocessing.width:
            raise ValueError("turned_classes needs a square input: make height and width equal")
        self._check_closed_forms()
        check(SAMPLERS, "sampler", self.sampling)
        check(AUGMENTATIONS, "augmentation", self.augmentation)
        check(LOSSES, "loss", self.loss)
        check(SCHEDULES, "schedule", self.schedule)
        return self

    def _check_closed_forms(self) -> None:
        first, *others = self.network.branches
        wanted = [
            key
            for key, value in (
                ("start.projection=whitening", self.start.projection),
                ("finish.projection=discriminant", self.finish.projection),
            )
            if value is not None
        ]
        if wanted and (first.projection is None or first.hidden):
            raise ValueError(
                f"{wanted[0]} is for a network with a projection and no hidden layers before it"
            )
        alike = self.start.right_backbone is None and self.start.same_sides
        if self.start.projection and any(other != first or not alike for other in others):
            raise ValueError(
                "start.projection=whitening wants two branches that are alike and start from the "
                "same backbone: leave start.right_backbone and start.same_sides out"
            )
        if self.finish.projection and (others or self.validation.keep != "last"):
            raise ValueError(
                "finish.projection=discriminant is for a network of one branch, of which the last "
                "weights are kept: set validation.keep=last"
            )

    def steps(self, images: int, images_per_step: int) -> int:
        """Steps of the whole training, at least 1 unless `max_steps` is 0.

        Args:
            images: Images of an epoch.
            images_per_step: Images that a step goes through.
        """
        bounds = []
        if self.epochs is not None:
            bounds.append(max(1, round(self.epochs * images / images_per_step)))
        if self.max_steps is not None:
            bounds.append(self.max_steps)
        return min(bounds)
