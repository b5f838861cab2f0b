"""Why an inference was not done. Messages are shown to users as they are."""

from model_store.errors import TwinlensError

CLOSING = "the service is shutting down; send the request again elsewhere"
"""For `NotReady`."""


class InferenceError(TwinlensError):
    """Base of what can go wrong between an image and its answer, images themselves apart."""


class UnknownModel(InferenceError):
    """No model of that name is loaded."""


class InvalidInput(InferenceError):
    """What was given does not fit the model, or is too many or none."""


class TooManyBytes(InferenceError):
    """An encoded image is over the limit on bytes."""


class QueueFull(InferenceError):
    """More images than may wait are waiting already.

    Attributes:
        retry_after: Seconds, at least 1, after which there should be room.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlinePassed(InferenceError):
    """The time given to the request was over before its answer was there."""


class NotReady(InferenceError):
    """The service is loading, draining or broken."""


class EngineGone(NotReady):
    """What computes has ended: no image's fault, and none of what takes its place."""


class EngineHung(NotReady):
    """What computes does not answer: no model's fault, and none can be had of it."""


class ModelLost(InferenceError):
    """The store cannot give a model any more whose engine is needed anew; the others go on."""


class EngineFailed(InferenceError):
    """The engine raised, or gave something other than one embedding an image."""
