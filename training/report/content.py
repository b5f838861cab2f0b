"""All that a report tells of a model."""

from dataclasses import dataclass
from datetime import datetime

from model_store.manifest import Evaluation, Manifest
from training.report.beside import Beside
from training.report.html import Html
from training.report.located import Located, places_in
from training.report.measurements import Measured


@dataclass(frozen=True)
class Content:
    """What is known of a model.

    Attributes:
        manifest: What it says of itself.
        beside: What lies beside it.
        located: Its images by purpose, as far as found.
        measured: What was measured for the report; None where no data was given.
        made: When the report was made.
        seed: Of everything that is drawn by lot.
        notes: What was said on the way.
    """

    manifest: Manifest
    beside: Beside
    located: Located
    measured: Measured | None
    made: datetime
    seed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The model and its version."""
        return f"{self.manifest.name} version {self.manifest.version}"

    @property
    def with_data(self) -> str:
        """The command that makes a report with images."""
        words = f"python -m training report {self.manifest.name} --data DIR"
        two_sided = "--right" in places_in(self.manifest.provenance.command)
        return f"{words} --right DIR" if two_sided else words

    @property
    def subtitle(self) -> str:
        """What stands on the pictures that are drawn for the report."""
        return self.title if self.measured is None else f"{self.title} on {self.measured.data}"

    def evaluation(self, protocol: str) -> Evaluation | None:
        """The figures of a protocol: those measured for the report, else the newest kept."""
        return next((one for one in self._evaluations if one.protocol == protocol), None)

    @property
    def of_calibration(self) -> Evaluation | None:
        """Verification with what the calibration is worth on classes that it has not seen."""
        return next(filter(self._of_calibration, self._evaluations), None)

    @property
    def _evaluations(self) -> tuple[Evaluation, ...]:
        """Those measured for the report, and those kept, the newest first."""
        measured = () if self.measured is None else self.measured.evaluations
        return (*measured, *reversed(self.manifest.evaluations))

    def _of_calibration(self, evaluation: Evaluation) -> bool:
        """Whether it has figures of the model's calibration, and not of an older one."""
        own, here = self.manifest.calibration, evaluation.figures.get("at_threshold")
        if own is None or not isinstance(here, dict):
            return False
        return bool(evaluation.calibrated_by) or here.get("threshold") == own.threshold

    @property
    def calibrated_since(self) -> bool:
        """Whether the pictures that `fit` has drawn are of an older calibration, or of none."""
        drawn = (one for one in self.manifest.evaluations if one.protocol == "verification")
        first = next(drawn, None)
        if self.manifest.calibration is None or (first and self._of_calibration(first)):
            return False
        split = self.beside.split
        untested = split is not None and split.crossed
        return not untested or self.beside.calibrated_since


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Its anchor.
        title: Its heading.
        body: What stands in it.
    """

    key: str
    title: str
    body: Html
