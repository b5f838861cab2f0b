"""What the protocols measure, as data: the JSON of `python -m training evaluate`.

All rates are shares in [0, 1]; all intervals are at 95 % confidence.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from training.evaluation.intervals import Interval
from training.evaluation.pool import Coverage

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Figures(BaseModel):
    """Base of every protocol's figures."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> dict[str, JsonValue]:
        """As plain JSON values, for a file or a manifest."""
        content: dict[str, JsonValue] = self.model_dump(mode="json")
        return content


class AtThreshold(Figures):
    """How the calibrated threshold does on these pairs.

    Attributes:
        threshold: The model's own, in the metric's unit.
        target_far: The false-accept rate it was chosen for.
        far: Measured here.
        far_interval: Where that of as many other classes is expected (`rate_of_others`); None in
            figures of older versions where there were too few to draw.
        frr: Measured here.
        frr_interval: As `far_interval`.
        accuracy: Genuine and impostor pairs weighing half each.
        accuracy_interval: By drawing classes anew, holding Clopper and Pearson's (`with_exact`);
            None where they are too few.
    """

    threshold: float
    target_far: Share
    far: Share
    far_interval: Interval | None
    frr: Share
    frr_interval: Interval | None
    accuracy: Share
    accuracy_interval: Interval | None


class VerificationFigures(Figures):
    """Are two images of one class? Over pairs.

    Attributes:
        images: Images that the pairs were formed from.
        classes: Classes among them.
        pairs: Genuine and impostor pairs together.
        genuine_pairs: Pairs of one class.
        impostor_pairs: Pairs of two.
        genuine: Whether those are all the genuine pairs.
        impostors: Whether those are all the impostor pairs.
        seed: Of the sample and the intervals.
        auc: Area under the ROC curve.
        auc_interval: By drawing classes anew, holding Clopper and Pearson's (`with_exact`); None,
            here and below, where they are too few. Of classes in groups, such as alphabets, it is
            for other classes of these groups.
        eer: Equal error rate, interpolated on the ROC curve.
        eer_interval: As `auc_interval`.
        accuracy: At the threshold best for these pairs, genuine and impostor pairs weighing half
            each.
        accuracy_interval: As `auc_interval`; the threshold is chosen anew in each draw.
        accuracy_threshold: That threshold, in the metric's unit.
        frr_at_far: False-reject rate at the lowest threshold whose false-accept rate here does
            not exceed the key.
        frr_at_far_interval: As `eer_interval`, the threshold being chosen anew in each draw.
        calibration_error: ECE over 15 bins, of the model's probabilities under the prior they
            assume; None if the model is not calibrated, or was calibrated anew since.
        calibration_error_interval: By drawing classes anew. An absolute difference is never below
            0, so that draws of a well-calibrated model lie above its figure.
        at_threshold: None likewise.
    """

    images: Count
    classes: Count
    pairs: Count
    genuine_pairs: Count
    impostor_pairs: Count
    genuine: Coverage
    impostors: Coverage
    seed: int
    auc: Share
    auc_interval: Interval | None
    eer: Share
    eer_interval: Interval | None
    accuracy: Share
    accuracy_interval: Interval | None
    accuracy_threshold: float
    frr_at_far: dict[str, Share]
    frr_at_far_interval: dict[str, Interval] | None
    calibration_error: Share | None
    calibration_error_interval: Interval | None
    at_threshold: AtThreshold | None


class RetrievalFigures(Figures):
    """Which gallery images are most alike to a query? A tie counts against the model.

    Attributes:
        queries: Queries that count.
        excluded_queries: Queries whose class the gallery lacks (without a gallery: of which there
            is no other image).
        gallery: Gallery images; without a gallery every query meets all other images.
        classes: Classes of the queries that count.
        leave_one_out: Whether queries are in the gallery themselves, each left out of its own.
        recall_at_1: Share of queries whose most alike image is of their class.
        recall_at_1_interval: By drawing the queries' classes anew, widened for few of them; holds
            Clopper and Pearson's.
        recall_at_5: Share of queries with an image of their class among the five most alike.
        recall_at_5_interval: As `recall_at_1_interval`.
        map: Mean average precision over the whole ranking.
        map_interval: As `recall_at_1_interval`.
        seed: Of the intervals.
    """

    queries: Count
    excluded_queries: Count
    gallery: Count
    classes: Count
    leave_one_out: bool
    recall_at_1: Share
    recall_at_1_interval: Interval
    recall_at_5: Share
    recall_at_5_interval: Interval
    map: Share
    map_interval: Interval
    seed: int


class OneShotFigures(Figures):
    """Which of N candidates, one image each, is of the query's class? A tie counts as wrong.

    Attributes:
        trials: Queries, over all episodes.
        episodes: Draws of a group, its classes and two drawers.
        ways: Candidates of a query, at most: fewer than were asked for where no group has as many
            classes with two images.
        fewest_ways: At least; fewer than `ways` only where there are fewer than were asked for.
        groups: Groups that episodes were drawn from.
        drawers: Whether one drawer drew all candidates of an episode and another all its queries;
            else two images of each class are drawn.
        accuracy: Share of queries answered rightly.
        interval: By drawing episodes anew, by drawing the queries' classes anew, and where there
            are four groups or more by drawing those anew, each widened for few of them, and Clopper
            and Pearson's of as many trials as there are different queries: what holds all of them.
        accuracy_by_group: The same, of each group; empty where there is one group.
        accuracy_by_group_interval: As `interval`.
        seed: Of the draws.
    """

    trials: Count
    episodes: Count
    ways: Count
    fewest_ways: Count
    groups: Count
    drawers: bool
    accuracy: Share
    interval: Interval
    accuracy_by_group: dict[str, Share]
    accuracy_by_group_interval: dict[str, Interval]
    seed: int


class OmniglotRunsFigures(Figures):
    """Lake's one-shot runs: each test image among the training images of its run.

    Attributes:
        trials: Test images, over all runs.
        runs: How many.
        accuracy: Share answered rightly; a tie counts as wrong.
        interval: By drawing runs anew, widened for few of them; holds Clopper and Pearson's.
        accuracy_by_run: The same, of each run.
        seed: Of the interval.
    """

    trials: Count
    runs: Count
    accuracy: Share
    interval: Interval
    accuracy_by_run: dict[str, Share]
    seed: int
