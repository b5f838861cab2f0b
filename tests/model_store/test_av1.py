"""What the heads of AV1 sequences and frames say of a frame's size."""

import pytest

from model_store.av1 import has_its_own_size, read_sequence
from tests.model_store.test_avif import packed

# Of one operating point and 1000x300 pixels, without numbers of frames; up to the tools.
BEFORE = ((0, 5), (0, 2), (0, 5), (0, 12), (0, 5), (9, 4), (8, 4), (999, 10), (299, 9), (0, 1))


@pytest.mark.parametrize(
    "order", [((0, 1),), ((1, 1), (0, 2))], ids=["no order of frames", "an order of frames"]
)
@pytest.mark.parametrize(
    ("tools", "said"),
    [
        # Each frame says both; where it has no tools for screens, nothing of motion.
        (((1, 1), (1, 1)), ((1, 1), (1, 1))),
        (((1, 1), (1, 1)), ((0, 1),)),
        # Motion is decided for all.
        (((1, 1), (0, 1), (0, 1)), ((1, 1),)),
        (((1, 1), (0, 1), (1, 1)), ((1, 1),)),
        # Tools for screens are for none, and for all of them.
        (((0, 1), (0, 1)), ()),
        (((0, 1), (1, 1), (1, 1)), ((1, 1),)),
        (((0, 1), (1, 1), (0, 1), (1, 1)), ()),
    ],
)
def test_a_frames_own_size_is_found_behind_the_tools(
    order: tuple[tuple[int, int], ...],
    tools: tuple[tuple[int, int], ...],
    said: tuple[tuple[int, int], ...],
) -> None:
    sequence = read_sequence(packed(*BEFORE, (0, 3), (0, 4), *order, *tools, (0, 9)))
    assert (sequence.width, sequence.height) == (1000, 300)
    for own in (0, 1):
        # A key frame that is shown.
        head = packed((0, 1), (0, 2), (1, 1), (0, 1), *said, (own, 1), (not own, 1), (127, 7))
        assert has_its_own_size(head, sequence) == bool(own)
