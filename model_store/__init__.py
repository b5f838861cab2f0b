"""What a model is, and where models are kept: all that `app` and `training` share."""

from model_store.checkpoint import Checkpoint
from model_store.manifest import Manifest
from model_store.metric import Metric
from model_store.store import ModelStore

__all__ = ["Checkpoint", "Manifest", "Metric", "ModelStore"]
