"""What a run is about, and what comes of it."""

from dataclasses import dataclass

from model_store.network import SiameseNetwork
from training.data.parts import Parts
from training.data.sources import Skipped
from training.data.split import Split
from training.errors import RecipeError
from training.recipe import Recipe
from training.run.folder import RunRecord
from training.run.state import Standing


@dataclass(frozen=True)
class Job:
    """What a run is about, fixed from its beginning.

    Attributes:
        recipe: How it trains.
        split: Which classes serve what.
        record: How it began.
        parts: The images of those classes.
        source: What to call the data.

    Raises:
        RecipeError: It would train one branch of two, which nothing later would show but the
            figures.
    """

    recipe: Recipe
    split: Split
    record: RunRecord
    parts: Parts
    source: str

    def __post_init__(self) -> None:
        if len(self.recipe.network.branches) > 1 and not self.parts.train.two_sided:
            raise RecipeError(
                f"recipe '{self.record.recipe}' has a branch for either side; say with --right DIR "
                "which images are on the right, those of --data being on the left"
            )

    @property
    def validates(self) -> bool:
        """Whether there are classes to validate on while it trains, and the recipe wants that."""
        return self.parts.validation is not None and self.recipe.validation.times > 0


@dataclass(frozen=True)
class Trained:
    """What a run that reached its last step leaves.

    Attributes:
        network: With the weights after the last step, or their running mean.
        standing: Where the run ended; it may hold better weights.
        skipped: Images that could not be decoded.
        start: What weights it started from, as a file; None where all were drawn.
        notes: What users of the model should know of its training.
    """

    network: SiameseNetwork
    standing: Standing
    skipped: tuple[Skipped, ...]
    start: bytes | None = None
    notes: tuple[str, ...] = ()
