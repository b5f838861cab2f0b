"""What a score means."""

from enum import StrEnum


class Metric(StrEnum):
    """The unit and direction of a score, by the names the HTTP interface uses."""

    SIGMOID_SIMILARITY = "sigmoid_similarity"
    EUCLIDEAN_DISSIMILARITY = "euclidean_dissimilarity"
    COSINE_SIMILARITY = "cosine_similarity"
    EXPONENTIAL_SIMILARITY = "exponential_similarity"

    @property
    def higher_is_alike(self) -> bool:
        """True for similarities, False for dissimilarities."""
        return self is not Metric.EUCLIDEAN_DISSIMILARITY
