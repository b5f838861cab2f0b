"""Parts of a folder, put together and thinned out."""

import pytest

from tests.training.trees import grown, pngs, whole
from training.data.parts import Parts, together
from training.data.sources import Skipped
from training.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return whole(grown(tmp_path, pngs(f"c{c}/{i}.png" for c in range(6) for i in range(3))))


def test_parts_of_a_folder_together_are_the_folder(folder):
    ones = folder.subset([1, 3, 5]), folder.subset([4]), folder.subset([0, 2])
    assert together(*ones) == folder
    assert together(None, ones[1], None) == ones[1]
    assert together(None) is None


def test_without_images_that_cannot_be_used(folder):
    parts = Parts(folder.subset(range(3)), folder.subset([3]), folder.subset([4, 5]))
    bad = [Skipped(key, "why") for key in ("c0/1.png", "c4/0.png", "c4/1.png", "c4/2.png")]
    rest = parts.without(bad)
    assert [item.key for item in rest.train.items][:2] == ["c0/0.png", "c0/2.png"]
    assert [entry.name for entry in rest.calibration.classes] == ["c5"], "a class is gone"
    assert rest.validation == parts.validation
    assert set(rest.skipped) == set(bad)
    assert parts.without([]) is parts


def test_a_part_without_any_image_is_refused(folder):
    parts = Parts(folder.subset(range(3)), folder.subset([3]), None)
    bad = [Skipped(f"c3/{number}.png", "broken") for number in range(3)]
    with pytest.raises(DataError, match=r"not one image can be decoded \(c3/0\.png: broken\)"):
        parts.without(bad)
