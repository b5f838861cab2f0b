"""A bound on the memory that building a network takes, for one that a file describes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch.overrides import TorchFunctionMode

from model_store.errors import CheckpointDamaged

_TAKEN_AWAY = 8_000_000
"""Values of classifiers that libraries build and a backbone does without, at most."""

_LEAST = 1_000
"""A layer takes more than its values: millions of tiny ones fill the memory as well."""


class AtMost(TorchFunctionMode):
    """While it is entered, layers of more values than there are in a file cannot be made.

    They are counted as each is made and not yet filled, when it takes no memory that others lack.
    Only calls of this thread are.

    Args:
        values: How many the file may hold.
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        self._values = values
        self._left = values + _TAKEN_AWAY

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Runs what is called, and counts if that makes a layer's values.

        Raises:
            CheckpointDamaged: There are too many.
        """
        made = func(*args, **(kwargs or {}))
        if func is torch.empty and isinstance(made, torch.Tensor):
            self._left -= max(made.numel(), _LEAST)
            if self._left < 0:
                raise CheckpointDamaged(
                    f"the network would have more values than the {self._values:,} that the file "
                    "with its weights has room for; restore it from a copy or train again"
                )
        return made
