"""Finding the images of a split again."""

import pytest

from tests.training.trees import grown, png, pngs
from training.data.parts import make_split, open_sources
from training.data.split import SplitShares
from training.report.located import locate

NAMES = [f"c{n}/{image}.png" for n in range(8) for image in range(2)]
PARTS = ["train classes", "validation classes", "calibration classes"]


@pytest.fixture
def images(tmp_path):
    return grown(tmp_path / "my images", pngs(NAMES))


def split_of(data, right=None):
    return make_split(open_sources(data, None, right), SplitShares(), seed=0)


def titles(found):
    return [part.title for part in found.parts]


@pytest.mark.parametrize("form", ["--data '{}' --name m", "--name m '--data={}'"])
def test_images_are_found_where_the_command_had_them(images, form):
    split = split_of(images)
    found = locate(split, f"python -m training fit {form.format(images)}", None)
    assert titles(found) == PARTS
    assert found.note == ""
    shown = [sorted(entry.name for entry in part.folder.classes) for part in found.parts]
    assert shown == [sorted(split.train), sorted(split.validation), sorted(split.calibration)]


@pytest.mark.parametrize("form", ["--right '{}'", "'--right={}'"])
def test_so_are_those_of_the_right_side(images, tmp_path, form):
    right = grown(tmp_path / "shop", {name: png(99) for name in NAMES[::2]})
    command = f"python -m training fit --data '{images}' {form.format(right)} --name m"
    found = locate(split_of(images, right), command, None)
    assert titles(found) == PARTS
    assert all(part.folder.two_sided for part in found.parts)
    assert not locate(split_of(images), command, None).parts, "of one side, it was other data"


def test_other_images_of_the_same_names_are_not_shown(images):
    split = split_of(images)
    for name in NAMES:
        (images / name).write_bytes(png(1_000))
    (images / "c0" / "more.png").write_bytes(png())
    found = locate(split, f"python -m training fit --data '{images}' --name m", images)
    assert found.parts == ()
    assert "images of the classes of train, validation and calibration" in found.note


def test_images_given_are_taken_where_those_of_the_command_are_gone(images, tmp_path):
    found = locate(split_of(images), f"python -m training fit --data '{tmp_path}/gone'", images)
    assert titles(found) == PARTS
