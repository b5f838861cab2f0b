"""dlib's weights for faces, from the package that has them."""

import torch

from model_store.errors import StoreError
from model_store.imports.dlib_face import PACKAGE, face_tensors
from model_store.network.specification import BranchSpec
from training.errors import TrainingError

_BACKBONE = "dlib-face"


def dlib_weights(spec: BranchSpec) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors, and what to call their source.

    Args:
        spec: A branch with the backbone `dlib-face`.

    Raises:
        TrainingError: Another backbone, or the weights cannot be had here; the message says what to
            do instead.
    """
    if spec.backbone != _BACKBONE:
        raise TrainingError(
            f"dlib has published no weights for the backbone '{spec.backbone}'; start: dlib goes "
            f"with {_BACKBONE}"
        )
    try:
        return face_tensors(), f"dlib (package {PACKAGE})"
    except StoreError as error:
        raise TrainingError(
            f"{error}; or take --recipe portraits, which needs no such package"
        ) from error
