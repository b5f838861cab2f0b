"""The whole recipe, and what must hold between its sections."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model_store.manifest import StoredType
from model_store.network import NetworkSpec
from model_store.preprocessing import Preprocessing
from training.components import Component, check
from training.data.augmentation import AUGMENTATIONS
from training.data.sampling import SAMPLERS
from training.data.split import SplitShares
from training.losses import LOSSES
from training.recipe.sections import (
    CalibrationTarget,
    Data,
    Finish,
    Freeze,
    Guard,
    Optimiser,
    Positive,
    Schedule,
    Section,
    Share,
    Start,
    Validation,
)
from training.schedules import SCHEDULES


class Recipe(Section):
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
            latter with scaled gradients; or `auto`, which becomes `bf16` on a GPU, and on a CPU
            what trains this network faster there. A run keeps what it began with.
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
    epochs: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    max_steps: Annotated[int, Field(ge=0)] | None = None
    max_minutes: Positive | None = None
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    synchronised_batch_norm: bool = False
    mean_decay: Share | None = None
    clip: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    weights: StoredType = "float32"
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

    @property
    def fits_nothing(self) -> bool:
        """Whether no weight depends on the images: no step is taken, and no projection is set."""
        closed_forms = (self.start.projection, self.finish.projection)
        return self.max_steps == 0 and closed_forms == (None, None)

    def _check_closed_forms(self) -> None:
        first, *others = self.network.branches
        wanted = [
            key
            for key, value in (
                ("start.projection=whitening", self.start.projection),
                (f"finish.projection={self.finish.projection}", self.finish.projection),
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
                f"finish.projection={self.finish.projection} is for a network of one branch, of "
                "which the last weights are kept: set validation.keep=last"
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
