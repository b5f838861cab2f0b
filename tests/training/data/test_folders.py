import hashlib

from model_store.network import Side
from tests.training.trees import grown, png, pngs, whole
from training.data.sides import join_sides


def test_a_subset_keeps_order_and_is_numbered_anew(tmp_path):
    folder = whole(grown(tmp_path, pngs(["a/1.png", "b/1.png", "b/2.png", "c/1.png"])))
    part = folder.subset([2, 1])
    assert part.class_names == ("b", "c")
    assert [(item.key, item.label) for item in part.items] == [
        ("b/1.png", 0),
        ("b/2.png", 0),
        ("c/1.png", 1),
    ]


def test_without_drops_items_and_classes_that_have_none_left(tmp_path):
    folder = whole(grown(tmp_path, pngs(["a/1.png", "b/1.png", "b/2.png"])))
    rest = folder.without({"a/1.png", "b/2.png", "not there"})
    assert rest.class_names == ("b",)
    assert [(item.key, item.label) for item in rest.items] == [("b/1.png", 0)]


def test_only_keeps_order_and_drops_classes_that_have_none_left(tmp_path):
    folder = whole(grown(tmp_path, pngs(["a/1.png", "b/1.png", "b/2.png", "c/1.png"])))
    rest = folder.only([3, 1, 1])
    assert rest.class_names == ("b", "c")
    assert [(item.key, item.label) for item in rest.items] == [("b/1.png", 0), ("c/1.png", 1)]


def test_classes_that_have_images_of_one_side_only_are_dropped_when_asked(tmp_path):
    sides = (pngs(["a/1.png", "b/1.png"]), pngs(["a/2.png", "b/2.png"]))
    folder = join_sides(
        *(whole(grown(tmp_path / str(n), files)) for n, files in enumerate(sides))
    ).without({"left/a/1.png"})
    left = folder.on(Side.LEFT)
    assert left.class_names == ("a", "b")
    assert left.without_empty().class_names == ("b",)


def test_the_digest_is_what_it_says(tmp_path):
    files = pngs(["b/1.png", "a/1.png"])
    expected = hashlib.sha256()
    for key in sorted(files):
        expected.update(f"{key}\0{hashlib.sha256(files[key]).hexdigest()}\n".encode())
    assert whole(grown(tmp_path, files)).digest() == expected.hexdigest()


def test_the_digest_sees_a_changed_byte_and_a_changed_name(tmp_path):
    digests = {
        whole(grown(tmp_path / "1", {"a/1.png": png(0), "b/1.png": png(1)})).digest(),
        whole(grown(tmp_path / "2", {"a/1.png": png(0), "b/1.png": png(2)})).digest(),
        whole(grown(tmp_path / "3", {"a/1.png": png(0), "b/2.png": png(1)})).digest(),
    }
    assert len(digests) == 3
