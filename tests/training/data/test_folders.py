import hashlib
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.trees import grown, png, pngs, zipped
from training.data.folders import open_data
from training.data.sources import FolderSource, ZipSource
from training.errors import DataError

TWO = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"]
THREE = ["Greek/c1/1.png", "Greek/c1/2.png", "Greek/c2/1.png", "Latin/c1/1.png"]


def whole(path):
    opened = open_data(path)
    assert opened.train is None
    assert opened.validation is None
    return opened.whole


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


def test_a_folder_inside_a_zip_is_named_as_if_it_were_on_disk(tmp_path):
    files = pngs(["top/train/a/1.png", "top/train/b/1.png", "top/catalogue/a/9.png"])
    path = zipped(tmp_path / "data.zip", files)
    found = whole(path / "top" / "catalogue")
    assert [item.key for item in found.items] == ["a/9.png"]
    assert found.read(found.items[0]) == files["top/catalogue/a/9.png"]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_and_validation_folders_are_told_apart(tmp_path, name):
    files = pngs(["train/a/1.png", "train/b/1.png", f"{name}/c/1.png", "catalogue/a/1.png"])
    opened = open_data(zipped(tmp_path / "data.zip", {f"w/{key}": files[key] for key in files}))
    assert opened.whole is None
    assert [entry.name for entry in opened.train.classes] == ["a", "b"]
    assert [entry.name for entry in opened.validation.classes] == ["c"]
    assert opened.train.items[0].key == "a/1.png"
    assert opened.left_out == ("catalogue",)


def test_train_without_validation_is_the_whole_and_the_rest_is_named(tmp_path):
    opened = open_data(grown(tmp_path, pngs(["train/a/1.png", "train/b/1.png", "test/a/1.png"])))
    assert [item.key for item in opened.whole.items] == ["a/1.png", "b/1.png"]
    assert opened.left_out == ("test",)


def test_what_is_no_image_is_counted_and_what_is_hidden_is_not_seen(tmp_path):
    files = pngs(TWO) | {
        "README": b"hello",
        "a/Thumbs.db": b"x",
        "a/.hidden.png": b"x",
        "__MACOSX/a/1.png": b"x",
        ".git/a/1.png": b"x",
    }
    for path in (grown(tmp_path / "folder", files), zipped(tmp_path / "data.zip", files)):
        folder = whole(path)
        assert [item.key for item in folder.items] == TWO
        assert folder.other_files == 2
        assert folder.skipped == ()


def test_an_empty_class_and_misplaced_images_are_named(tmp_path):
    files = pngs([*TWO, "loose.png", "a/deeper/1.png"])
    root = grown(tmp_path / "folder", files)
    (root / "empty").mkdir()
    grown(root, {"notes/readme.txt": b"only text"})
    reasons = {entry.key: entry.reason for entry in whole(root).skipped}
    assert "empty class" in reasons.pop("empty")
    assert "empty class" in reasons.pop("notes")
    assert "outside of any class" in reasons.pop("loose.png")
    assert "below a class" in reasons.pop("a/deeper/1.png")
    assert not reasons


def test_an_empty_class_of_a_zip_is_named(tmp_path):
    path = zipped(tmp_path / "data.zip", pngs(TWO) | {"empty/": b""})
    assert [entry.key for entry in whole(path).skipped] == ["empty"]


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "a\\evil.png"]
)
def test_a_name_that_points_outside_an_archive_is_refused_and_the_rest_is_read(tmp_path, name):
    folder = whole(zipped(tmp_path / "data.zip", pngs(TWO) | {name: png(9)}))
    assert [item.key for item in folder.items] == TWO
    (refused,) = folder.skipped
    assert "evil.png" in refused.key
    assert "pack the archive again" in refused.reason


def test_spaces_and_foreign_letters_are_ordinary(tmp_path):
    names = ["Ähre und Korn/Bild 1.png", "Ähre und Korn/画像.png", "ψ/a b.png"]
    files = pngs(names)
    for path in (
        grown(tmp_path / "mit Leerzeichen", files),
        zipped(tmp_path / "großes Archiv.zip", files),
    ):
        folder = whole(path)
        assert sorted(item.key for item in folder.items) == sorted(names)
        assert all(folder.read(item) == files[item.key] for item in folder.items)


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX")
def test_a_name_that_is_no_unicode_is_named_and_left_out(tmp_path):
    root = grown(tmp_path, pngs(TWO))
    (root / "a" / os.fsdecode(b"\xff.png")).write_bytes(png())
    (refused,) = whole(root).skipped
    refused.key.encode()
    assert "Unicode" in refused.reason


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = grown(tmp_path / "data", pngs(TWO))
    elsewhere = grown(tmp_path / "elsewhere", pngs(["x.png"]))
    (root / "c").symlink_to(elsewhere)
    (root / "a" / "again").symlink_to(root)
    folder = whole(root)
    assert [item.key for item in folder.items] == [*TWO, "c/x.png"]
    assert [entry.key for entry in folder.skipped] == ["a/again"]


def test_a_broken_link_is_found_when_it_is_read(tmp_path):
    root = grown(tmp_path, pngs(TWO))
    (root / "a" / "gone.png").symlink_to(root / "nowhere")
    folder = whole(root)
    gone = next(item for item in folder.items if item.key == "a/gone.png")
    with pytest.raises(DataError, match="cannot be read"):
        folder.read(gone)
    readable = folder.without({"a/gone.png"})
    assert folder.digest() == folder.digest() != readable.digest()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no images"),
        ({"README.txt": b"x"}, "no images"),
        (pngs(["1.png"]), "expected class/image"),
        (pngs(["a/b/c/d/1.png", "a/b/c/e/1.png", "b/x/y/z/1.png"]), "expected class/image"),
    ],
)
def test_a_layout_without_classes_is_refused_with_what_is_expected(tmp_path, files, message):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=message) as error:
        open_data(grown(tmp_path / "data", files))
    assert "data" in str(error.value)


def test_a_path_that_is_not_there_or_not_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        open_data(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        open_data(tmp_path / "notes.txt")
    path = zipped(tmp_path / "data.zip", pngs(TWO))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"data\.zip"):
        open_data(path)


def test_damage_inside_an_archive_is_an_error_of_that_file(tmp_path):
    path = zipped(tmp_path / "data.zip", pngs(TWO))
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("a/2.png").header_offset
    content = bytearray(path.read_bytes())
    content[offset + 45 : offset + 60] = bytes(15)
    path.write_bytes(bytes(content))
    folder = whole(path)
    assert folder.read(folder.items[0]) == pngs(TWO)["a/1.png"]
    with pytest.raises(DataError, match="cannot be read from the archive"):
        folder.read(folder.items[1])


def test_many_threads_and_copies_read_one_archive(tmp_path):
    files = pngs(f"{label}/{n}.png" for label in "abc" for n in range(40))
    folder = whole(zipped(tmp_path / "data.zip", files))
    copied = pickle.loads(pickle.dumps(folder))
    with ThreadPoolExecutor(8) as pool:
        for source in (folder, copied):
            found = list(pool.map(source.read, folder.items))
            assert found == [files[item.key] for item in folder.items]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_the_archive_for_itself(tmp_path):
    files = pngs(f"{label}/{n}.png" for label in "ab" for n in range(60))
    folder = whole(zipped(tmp_path / "data.zip", files))
    folder.read(folder.items[0])
    child = os.fork()
    good = all(folder.read(item) == files[item.key] for item in folder.items * 3)
    if child == 0:
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert good
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_subset_keeps_order_and_is_numbered_anew(tmp_path):
    folder = whole(grown(tmp_path, pngs(["a/1.png", "b/1.png", "b/2.png", "c/1.png"])))
    part = folder.subset([2, 1])
    assert [entry.name for entry in part.classes] == ["b", "c"]
    assert [(item.key, item.label) for item in part.items] == [
        ("b/1.png", 0),
        ("b/2.png", 0),
        ("c/1.png", 1),
    ]


def test_without_drops_items_and_classes_that_have_none_left(tmp_path):
    folder = whole(grown(tmp_path, pngs(["a/1.png", "b/1.png", "b/2.png"])))
    rest = folder.without({"a/1.png", "b/2.png", "not there"})
    assert [entry.name for entry in rest.classes] == ["b"]
    assert [(item.key, item.label) for item in rest.items] == [("b/1.png", 0)]


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


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.sources.MAX_FILE_BYTES", 10)
    grown(tmp_path / "folder", pngs(TWO))
    zipped(tmp_path / "data.zip", pngs(TWO))
    for source in (FolderSource(tmp_path / "folder"), ZipSource(tmp_path / "data.zip")):
        with pytest.raises(DataError, match="over the limit of 10"):
            source.read("a/1.png")


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
