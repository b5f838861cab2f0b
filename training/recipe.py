"""What a training is, as data: a YAML file, checked before anything runs."""

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
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive
    reference_batch: Annotated[int, Field(ge=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Share = 0.9
    nesterov: bool = True


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
        images: At most so many images of the validation classes are used for that.
        keep: Which weights are kept: the `last`, or the `best` of those validated by equal error
            rate. The figures of the `best` flatter, as they chose it.
    """

    times: Annotated[int, Field(ge=0)] = 10
    images: Annotated[int, Field(ge=4)] = 4000
    keep: Literal["last", "best"] = "last"


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
        sampling: What a step consists of.
        augmentation: How images vary.
        loss: What is lowered.
        optimiser: How.
        schedule: At which rate.
        batch: The size of a batch: images, or pairs where the sampler draws pairs.
        batches_per_step: Batches whose gradients are averaged for a step. On a CPU they are
            worked on side by side; elsewhere one after another, which needs memory for one.
        epochs: Passes through the data; or
        max_steps: steps. Where both are given, whichever is less.
        precision: What the network computes in: `float32`; `bf16` by autocast; or `auto`, which
            is `bf16` on a GPU and `float32` on a CPU, where few are faster with bf16.
        mean_decay: Decay of the moving average of weights that is kept in place of the weights.
        clip: Largest norm of the gradient of all parameters together.
        seed: Of all randomness.
        weights: What weights are stored as.
        validation: How training is watched.
        calibration: What the threshold is chosen for.
    """

    description: str
    network: NetworkSpec
    preprocessing: Preprocessing
    data: Data = Data()
    split: SplitShares = SplitShares()
    sampling: Component
    augmentation: Component = Component(name="none")
    loss: Component
    optimiser: Optimiser
    schedule: Schedule = Schedule(name="cosine")
    batch: Annotated[int, Field(ge=2)]
    batches_per_step: Annotated[int, Field(ge=1, le=256)] = 1
    epochs: Positive | None = None
    max_steps: Annotated[int, Field(ge=1)] | None = None
    precision: Literal["auto", "float32", "bf16"] = "auto"
    mean_decay: Share | None = None
    clip: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    weights: Literal["float32", "float16"] = "float32"
    validation: Validation = Validation()
    calibration: CalibrationTarget = CalibrationTarget()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("give epochs, or max_steps, or both")
        if self.data.turned_classes and self.preprocessing.height != self.preprocessing.width:
            raise ValueError("turned_classes needs a square input: make height and width equal")
        check(SAMPLERS, "sampler", self.sampling)
        check(AUGMENTATIONS, "augmentation", self.augmentation)
        check(LOSSES, "loss", self.loss)
        check(SCHEDULES, "schedule", self.schedule)
        return self

    def steps(self, images: int, images_per_step: int) -> int:
        """Steps of the whole training, at least 1.

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
