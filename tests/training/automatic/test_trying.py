"""Starting networks that were tried: which is better, and what is set for it."""

from training.automatic.trial import Merit
from training.automatic.trying import Tried


def tried(eer: float, auc: float) -> Tried:
    return Tried("a layer", "photos", ("preprocessing.height=96",), Merit(eer, auc))


def test_fewer_errors_are_better_and_of_as_many_the_larger_area():
    best, second, third = tried(0.1, 0.5), tried(0.2, 0.9), tried(0.2, 0.8)
    assert sorted([third, second, best], key=lambda each: each.rank) == [best, second, third]


def test_one_whose_mirrored_images_count_as_the_same_says_so_to_its_recipe():
    plain, found = tried(0.2, 0.9), Merit(0.1, 0.95)
    assert plain.mirrored(found) == Tried(
        "a layer, mirrored too",
        "photos",
        ("preprocessing.height=96", "augmentation.options.mirror=0.5"),
        found,
    )
