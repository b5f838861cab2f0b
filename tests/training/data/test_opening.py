import os
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.trees import grown, pngs, whole, zipped
from training.data.opening import open_data
from training.data.other_files import told_other_files
from training.data.parts import open_sources
from training.errors import DataError

TWO = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"]
THREE = ["Greek/c1/1.png", "Greek/c1/2.png", "Greek/c2/1.png", "Latin/c1/1.png"]


def test_two_levels_are_class_and_image(tmp_path):
    folder = whole(grown(tmp_path, pngs(TWO)))
    assert [entry.name for entry in folder.classes] == ["a", "b"]
    assert {entry.group for entry in folder.classes} == {""}
    assert [item.key for item in folder.items] == TWO
    assert folder.labels.tolist() == [0, 0, 1, 1, 1]
    assert folder.labels.dtype == np.int64
    assert folder.groups.tolist() == [0, 0]
    assert folder.skipped == ()


def test_three_levels_are_group_class_and_image(tmp_path):
    folder = whole(grown(tmp_path, pngs(THREE)))
    assert [(entry.name, entry.group) for entry in folder.classes] == [
        ("Greek/c1", "Greek"),
        ("Greek/c2", "Greek"),
        ("Latin/c1", "Latin"),
    ]
    assert folder.group_names == ("Greek", "Latin")
    assert folder.groups.tolist() == [0, 0, 1]


@pytest.mark.parametrize("names", [TWO, THREE])
@pytest.mark.parametrize("wrapping", ["", "wrapped/", "outer/inner/"])
def test_a_zip_and_any_wrapping_folder_make_no_difference(tmp_path, names, wrapping):
    plain = whole(grown(tmp_path / "plain", pngs(names)))
    files = {wrapping + name: content for name, content in pngs(names).items()}
    for path in (grown(tmp_path / "folder", files), zipped(tmp_path / "data.zip", files)):
        found = whole(path)
        assert found.classes == plain.classes
        assert found.items == plain.items
        assert found.digest() == plain.digest()
        assert found.read(found.items[-1]) == plain.read(plain.items[-1])
        assert found.source == path / wrapping.rstrip("/")


@pytest.mark.parametrize(
    "names", [["Crème/1.png", "Käse/1.png"], ["Français/é/1.png", "F/e/1.png"]]
)
def test_a_class_has_one_name_however_its_unicode_is_composed(tmp_path, names):
    found = []
    for form in ("NFC", "NFD"):
        files = {unicodedata.normalize(form, name): png for name, png in pngs(names).items()}
        found += [
            whole(grown(tmp_path / form, files)),
            whole(zipped(tmp_path / f"{form}.zip", files)),
        ]
        assert [found[-1].read(item) for item in found[-1].items] == [
            files[item.key] for item in found[-1].items
        ]
    assert {folder.classes for folder in found} == {found[0].classes}


def test_a_folder_inside_a_zip_is_named_as_if_it_were_on_disk(tmp_path):
    files = pngs(["top/train/a/1.png", "top/train/b/1.png", "top/catalogue/a/9.png"])
    path = zipped(tmp_path / "data.zip", files)
    found = whole(path / "top" / "catalogue")
    assert [item.key for item in found.items] == ["a/9.png"]
    assert found.read(found.items[0]) == files["top/catalogue/a/9.png"]


@pytest.mark.parametrize("train", ["train", "training", "Training"])
@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_and_validation_folders_are_told_apart(tmp_path, train, name):
    files = pngs([f"{train}/a/1.png", f"{train}/b/1.png", f"{name}/c/1.png", "catalogue/a/1.png"])
    opened = open_data(zipped(tmp_path / "data.zip", {f"w/{key}": files[key] for key in files}))
    assert opened.whole is None
    assert [entry.name for entry in opened.train.classes] == ["a", "b"]
    assert [entry.name for entry in opened.validation.classes] == ["c"]
    assert opened.train.items[0].key == "a/1.png"
    assert opened.left_out == ("catalogue",)


def test_a_folder_whose_name_differs_in_case_alone_is_named_as_left_out(tmp_path):
    # In an archive, because not every file system tells such names apart.
    names = ["Train/a/1.png", "train/b/1.png", "val/c/1.png", "VAL/d/1.png", "Test/e/1.png"]
    opened = open_data(zipped(tmp_path / "data.zip", pngs(names)))
    assert [entry.name for entry in opened.train.classes] == ["b"]
    assert [entry.name for entry in opened.validation.classes] == ["c"]
    assert opened.left_out == ("Test", "Train", "VAL")


def test_train_without_validation_is_the_whole_and_the_rest_is_named(tmp_path):
    opened = open_data(grown(tmp_path, pngs(["train/a/1.png", "train/b/1.png", "test/a/1.png"])))
    assert [item.key for item in opened.whole.items] == ["a/1.png", "b/1.png"]
    assert opened.left_out == ("test",)


@pytest.mark.parametrize(
    "names",
    [
        ["val/a/1.png", "test/a/1.png"],
        ["Validation/a/1.png", "testing/a/1.png", "around.txt"],
        ["train/1.png", "val/1.png"],
        ["train/1.png", "Train/1.png"],
    ],
)
def test_parts_of_a_split_of_which_none_trains_are_no_groups_or_classes(tmp_path, names):
    """One person in two parts counted as two, and one of them trained while the other judged."""
    tops = ", ".join(sorted({name.split("/")[0] for name in names if "/" in name}))
    path = zipped(tmp_path / "data.zip", {f"w/{key}": png for key, png in pngs(names).items()})
    with pytest.raises(DataError, match=f"{tops} are called as .* no train/ .* give one") as error:
        open_data(path)
    assert str(path / "w") in str(error.value)
    one = pngs(name for name in names if name.startswith(tops.split(",")[0]))
    assert whole(zipped(tmp_path / "one.zip", one)).items


def test_a_class_may_be_called_train(tmp_path):
    files = pngs(["bus/1.png", "car/1.png", "train/1.png", "train/2.png", "val/1.png"])
    folder = whole(grown(tmp_path, files))
    assert [entry.name for entry in folder.classes] == ["bus", "car", "train", "val"]


def test_a_folder_of_a_telephone_is_told_what_to_do(tmp_path):
    heic = {f"a/{n}.HEIC": b"x" for n in range(3)}
    with pytest.raises(DataError, match=r"3 \.heic\); \.heic cannot be read: save .* as JPEG"):
        open_data(grown(tmp_path / "all", heic))
    folder = whole(grown(tmp_path / "some", heic | pngs(["b/1.jfif", "b/2.png"])))
    assert [item.key for item in folder.items] == ["b/1.jfif", "b/2.png"]
    assert folder.other_files == {".heic": 3}


def test_what_is_left_alone_is_told_before_anything_is_read(tmp_path):
    files = pngs([*TWO, "loose.png", "a/deeper/1.png", "a/deeper/2.png"]) | {"labels.csv": b"x"}
    told = list(open_sources(grown(tmp_path, files), None).not_used())
    layout = "most images here are laid out as class/image"
    assert told == [
        "not used: 1 file(s) whose names do not end as images' names do (1 .csv)",
        f"not used: a/deeper/1.png, a/deeper/2.png: lies below a class folder: {layout}",
        f"not used: loose.png: lies outside of any class folder: {layout}",
    ]


def test_what_is_no_image_is_counted_and_what_systems_hide_is_not_seen(tmp_path):
    files = pngs(TWO) | {
        "README": b"hello",
        "a/Thumbs.db": b"x",
        "a/._1.png": b"x",
        "a/.DS_Store": b"x",
        "__MACOSX/a/1.png": b"x",
        "__MACOSX/.a/1.png": b"x",
        ".git/config": b"x",
        ".snapshots/monday/a/1.png": b"x",
        ".Trash-1000/files/1.png": b"x",
        "a/.ipynb_checkpoints/1.png": b"x",
    }
    for path in (grown(tmp_path / "folder", files), zipped(tmp_path / "data.zip", files)):
        folder = whole(path)
        assert [item.key for item in folder.items] == TWO
        assert folder.other_files == {"": 1, ".db": 1}
        assert told_other_files(folder.other_files) == (
            "2 file(s) whose names do not end as images' names do (1 without an ending, 1 .db)"
        )
        assert folder.skipped == ()


def test_hidden_images_are_told(tmp_path):
    """A class may be called `.NET`, and was left out without a word."""
    files = pngs([*TWO, ".NET/1.png", ".NET/2.png", ".new/c/1.png", "a/.x.png", "a/.y.png"])
    for path in (grown(tmp_path / "folder", files), zipped(tmp_path / "data.zip", files)):
        assert [item.key for item in whole(path).items] == TWO
        told = dict(line.rsplit(": ", 1) for line in open_sources(path, None).not_used())
        folder, rename = "a hidden folder with images in it", "rename it, without the dot in front"
        assert told == {
            "not used: .NET, .new": f"{folder}; if they are data, {rename}",
            "not used: a/.x.png, a/.y.png": f"a hidden image; if it is data, {rename}",
        }
    with pytest.raises(DataError, match=r"no images; not read: 1, such as \.NET \(a hidden "):
        open_data(grown(tmp_path / "all", pngs([".NET/1.png"])))


@pytest.mark.parametrize("around", ["", "around/"])
def test_what_is_hidden_in_one_part_is_not_told_of_another(tmp_path, around):
    parts = [f"{around}{part}/{key}" for part in ("train", "val") for key in TWO]
    hidden = [f"{around}{part}.NET/1.png" for part in ("train/", "val/a/", "")]
    opened = open_data(grown(tmp_path, pngs([*parts, *hidden])))
    told = [[entry.key for entry in part.skipped] for part in (opened.train, opened.validation)]
    both = f"{around}.NET"
    assert told[0] == [both, f"{around}train/.NET"]
    assert told[1] == [both, f"{around}val/a/.NET"]


def test_what_is_hidden_and_cannot_be_looked_into_is_no_error(tmp_path):
    root = grown(tmp_path, pngs(TWO))
    (root / ".round").symlink_to(root / ".round")
    (root / ".nowhere").symlink_to(tmp_path / "gone")
    (root / ".above").symlink_to(root)
    grown(root, pngs([".closed/1.png"]))
    (root / ".closed").chmod(0)
    folder = whole(root)
    (root / ".closed").chmod(0o700)
    assert [item.key for item in folder.items] == TWO
    # Root may look into it all the same.
    closed = [] if os.geteuid() else [".closed"]
    assert [entry.key for entry in folder.skipped] == [".above", *closed]


def test_an_empty_class_and_misplaced_images_are_named(tmp_path):
    files = pngs([*TWO, "loose.png", "a/deeper/1.png", "nested/deeper/2.png"])
    root = grown(tmp_path / "folder", files)
    (root / "empty").mkdir()
    grown(root, {"notes/readme.txt": b"only text"})
    reasons = {entry.key: entry.reason for entry in whole(root).skipped}
    assert "empty class" in reasons.pop("empty")
    assert "empty class" in reasons.pop("notes")
    assert "outside of any class" in reasons.pop("loose.png")
    assert "below a class" in reasons.pop("a/deeper/1.png")
    assert "below a class" in reasons.pop("nested/deeper/2.png")
    assert not reasons, "a class whose images lie deeper is no empty one"


def test_an_empty_class_of_a_zip_is_named(tmp_path):
    path = zipped(tmp_path / "data.zip", pngs(TWO) | {"empty/": b""})
    assert [entry.key for entry in whole(path).skipped] == ["empty"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no images"),
        ({"README.txt": b"x"}, "no images"),
        (pngs(["1.png"]), "in no class folder, such as 1.png; expected class/image"),
        (
            pngs(["a/b/c/d/1.png", "a/b/c/e/1.png", "b/x/y/z/1.png"]),
            "4 folders deep, such as a/b/c/d/1.png; expected class/image",
        ),
    ],
)
def test_a_layout_without_classes_is_refused_with_what_is_expected(tmp_path, files, message):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=message) as error:
        open_data(grown(tmp_path / "data", files))
    assert "data" in str(error.value)


_NAME = st.text("abcäß .-_", min_size=1, max_size=6).filter(
    lambda name: name.strip(". ") and not name.startswith(".") and name == name.strip()
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_NAME, st.sets(_NAME, min_size=1, max_size=3), min_size=2, max_size=4))
def test_every_image_is_found_once_whatever_the_names(tmp_path_factory, tree):
    names = [f"{label}/{name}.png" for label, images in tree.items() for name in images]
    path = zipped(tmp_path_factory.mktemp("any") / "data.zip", dict.fromkeys(names, b"x"))
    folder = whole(path)
    assert sorted(item.key for item in folder.items) == sorted(names)
    assert sorted(entry.name for entry in folder.classes) == sorted(tree)
    for item in folder.items:
        assert item.key.startswith(folder.classes[item.label].name + "/")


def test_the_real_sets_are_laid_out_as_they_say(data):
    omniglot = whole(data / "omniglot" / "images_background.zip")
    assert (len(omniglot.classes), len(omniglot.items)) == (964, 19_280)
    assert len(omniglot.group_names) == 30
    faces = whole(data / "orl_faces" / "orl_faces.zip")
    assert (len(faces.classes), len(faces.items)) == (35, 350)
    groceries = open_data(data / "grocery_store" / "grocery_store.zip")
    assert (len(groceries.train.classes), len(groceries.train.items)) == (81, 2_640)
    assert len(groceries.validation.items) == 296
    assert groceries.left_out == ("catalogue",)
    assert not omniglot.skipped + faces.skipped + groceries.train.skipped
