"""Which images each class has, found in one go however many classes there are."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def rows_by_class(labels: Integers) -> dict[int, Integers]:
    """The rows of every class that has any, rising, by its label; the least label comes first.

    Args:
        labels: int64 (N,), the class of each row.
    """
    order = np.argsort(labels, kind="stable").astype(np.int64)
    found, starts = np.unique(labels[order], return_index=True)
    # Without labels there is one part all the same, an empty one.
    return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=False))
