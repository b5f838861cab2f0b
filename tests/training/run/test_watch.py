"""The images that a network is looked at by while it trains."""

from tests.training.trees import grown, pngs, whole
from training.data.sides import join_sides
from training.run.watch import with_pairs


def test_a_class_with_pairs_has_two_images_or_one_on_either_side(tmp_path):
    names = [f"one{number:02}/0.png" for number in range(9)]
    names += [f"some{number}/{image}.png" for number in range(3) for image in range(3)]
    left = whole(grown(tmp_path / "left", pngs(names)))
    right = whole(grown(tmp_path / "right", pngs(["one07/0.png", "some1/0.png", "other/0.png"])))

    def kept(folder) -> set[str]:
        return {entry.name for entry in with_pairs(folder).classes}

    assert kept(left) == {"some0", "some1", "some2"}
    assert kept(join_sides(left, right)) == {"one07", "some1"}
