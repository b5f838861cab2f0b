"""Folders of copies: what is in them, the same each time, whole or not there."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.training.trees import grown, png, zipped
from training.copies import making
from training.copies.edits import EDITS
from training.copies.making import find_pictures, make_copies, make_copy
from training.data.opening import open_data
from training.errors import DataError


def jpeg(seed, size=(40, 30)):
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "JPEG", quality=95)
    return out.getvalue()


def made(data, out, *, sample=None, **options):
    seed = options.get("seed", 0)
    return make_copies(find_pictures(data, sample=sample, seed=seed), out, **options)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def pictures(tmp_path):
    files = {"a.jpg": jpeg(1), "shoes/b.PNG": png(2), "shoes/red/c.jpg": jpeg(3)}
    return grown(tmp_path / "pictures", {**files, "notes.txt": b"no picture"})


def test_every_picture_becomes_a_class_of_itself_and_its_copies(pictures, tmp_path):
    result = made(pictures, tmp_path / "out", copies=4)
    folder = open_data(tmp_path / "out").whole
    assert [entry.name for entry in folder.classes] == [
        "a.jpg",
        "shoes - b.PNG",
        "shoes - red - c.jpg",
    ]
    assert np.bincount(folder.labels).tolist() == [5, 5, 5]
    files = contents(tmp_path / "out")
    assert files["a.jpg/original.jpg"] == jpeg(1)
    assert files["shoes - b.PNG/original.png"] == png(2)
    assert result.images == 3
    assert result.size == sum(map(len, files.values()))
    assert result.skipped == ()


def test_the_name_of_a_copy_tells_its_edits(pictures, tmp_path):
    made(pictures, tmp_path / "out", copies=20)
    lengths = set()
    for path in (tmp_path / "out" / "a.jpg").glob("[0-9]*.jpg"):
        _, *edits = path.stem.split("-")
        assert set(edits) <= set(EDITS)
        assert len(set(edits)) == len(edits)
        lengths.add(len(edits))
    assert lengths == {1, 2, 3}


def test_only_edits_asked_for_are_made(pictures, tmp_path):
    made(pictures, tmp_path / "out", edits=("mirror",))
    copies = [path.stem for path in (tmp_path / "out" / "a.jpg").glob("[0-9]*.jpg")]
    assert sorted(copies) == [f"{number}-mirror" for number in range(1, 6)]


def test_the_copy_of_a_grey_picture_is_grey():
    image = Image.open(io.BytesIO(png(1, (60, 60))))
    for seed in range(10):
        _, copy = make_copy(image, tuple(EDITS), np.random.default_rng(seed))
        assert Image.open(io.BytesIO(copy)).mode == "L"


def test_copies_of_one_picture_differ_from_each_other_and_by_seed(pictures, tmp_path):
    made(pictures, tmp_path / "one", edits=("noise",), copies=3)
    made(pictures, tmp_path / "two", edits=("noise",), copies=3, seed=1)
    one, two = (contents(tmp_path / name) for name in ("one", "two"))
    for name in ("a.jpg", "shoes - b.PNG"):
        copies = [files[f"{name}/{n}-noise.jpg"] for files in (one, two) for n in (1, 2, 3)]
        assert len(set(copies)) == 6


def test_the_quality_of_copies_is_30_to_92():
    """Told by the first value of the table for brightness: 16 at a quality of 50."""
    image = Image.new("RGB", (16, 16))
    firsts = []
    for seed in range(200):
        _, copy = make_copy(image, ("mirror",), np.random.default_rng(seed))
        firsts.append(Image.open(io.BytesIO(copy)).quantization[0][0])
    # libjpeg: (16 · scale + 50) / 100 of scale 5000 / 30 = 166 and 200 − 2 · 92 = 16.
    assert (max(firsts), min(firsts)) == (27, 3)


def test_a_seed_makes_the_same_copies_whatever_else_there_is(pictures, tmp_path):
    made(pictures, tmp_path / "one")
    (pictures / "0.jpg").write_bytes(jpeg(9))
    made(pictures, tmp_path / "two")
    made(pictures, tmp_path / "three", seed=1)
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one.items() < two.items()
    assert set(one) != set(three)


def test_a_zip_gives_the_same_as_its_folder(pictures, tmp_path):
    zipped(tmp_path / "pictures.zip", contents(pictures))
    made(pictures, tmp_path / "one")
    made(tmp_path / "pictures.zip", tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_sample_is_of_so_many(tmp_path):
    data = grown(tmp_path / "data", {f"{number}.jpg": jpeg(number) for number in range(9)})
    for seed in (0, 1):
        made(data, tmp_path / f"out{seed}", copies=1, sample=4, seed=seed)
    first, other = (set(names_in(tmp_path / f"out{seed}")) for seed in (0, 1))
    assert len(first) == len(other) == 4
    assert first != other


def test_large_pictures_are_copied_at_no_more_than_1024_pixels(tmp_path):
    data = grown(tmp_path / "data", {"large.jpg": jpeg(1, (3000, 30))})
    made(data, tmp_path / "out", edits=("mirror",), copies=1)
    copy = Image.open(tmp_path / "out" / "large.jpg" / "1-mirror.jpg")
    assert copy.size == (1024, 10)


def test_what_cannot_be_decoded_is_told_and_the_rest_is_made(pictures, tmp_path):
    (pictures / "broken.jpg").write_bytes(jpeg(1)[:200])
    result = made(pictures, tmp_path / "out")
    assert [entry.key for entry in result.skipped] == ["broken.jpg"]
    assert "damaged or cut short" in result.skipped[0].reason
    assert result.images == len(names_in(tmp_path / "out")) == 3


def test_names_that_come_to_the_same_are_numbered_and_long_ones_cut(tmp_path):
    deep = "/".join(["ä" * 60] * 4)
    files = {"a/b.jpg": jpeg(1), "a - b.jpg": jpeg(2), f"{deep}/c.jpg": jpeg(3)}
    data = grown(tmp_path / "data", files)
    assert made(data, tmp_path / "out").images == 3
    names = names_in(tmp_path / "out")
    assert names[:2] == ["a - b.jpg", "a - b.jpg (2)"]
    assert names[2].endswith("ä - c.jpg")
    assert len(names[2].encode()) <= 200


def test_a_name_is_not_cut_where_what_is_left_would_be_hidden(tmp_path):
    long = "x" * 10 + "." + "y" * 195 + ".png"
    data = grown(tmp_path / "data", {long: png(1), "a.png": png(2)})
    assert made(data, tmp_path / "out", copies=1).images == 2
    assert len(open_data(tmp_path / "out").whole.classes) == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"notes.txt": b"x"}, "no images, but 1 file.* give a folder of pictures"),
        ({"a.jpg": b"x"}, r"not one image can be decoded \(a.jpg: not an image"),
    ],
)
def test_data_without_pictures_are_refused_and_leave_nothing(tmp_path, files, words):
    with pytest.raises(DataError, match=words):
        made(grown(tmp_path / "data", files), tmp_path / "out")
    assert names_in(tmp_path) == ["data"]


def test_a_folder_that_is_there_is_not_touched(pictures, tmp_path):
    out = grown(tmp_path / "out", {"mine.txt": b"kept"})
    with pytest.raises(DataError, match="is there already; remove it, or give --out another"):
        made(pictures, out)
    assert contents(out) == {"mine.txt": b"kept"}


def test_copies_are_not_put_among_the_pictures(pictures):
    with pytest.raises(DataError, match="give --out a place outside of the pictures"):
        made(pictures, pictures / "copies")


def test_a_folder_that_is_not_there_cannot_be_written_to(pictures, tmp_path):
    with pytest.raises(DataError, match="give --out a name in a folder that exists"):
        made(pictures, tmp_path / "nowhere" / "out")


def test_what_fails_halfway_leaves_nothing_and_what_was_left_is_no_hindrance(
    pictures, tmp_path, monkeypatch
):
    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(making, "_copy", fails)
        with pytest.raises(DataError, match=r"out cannot be written \(No space left on device\)"):
            made(pictures, tmp_path / "out")
    assert names_in(tmp_path) == ["pictures"]
    grown(tmp_path / ".out.incoming", {"old": b"of a killed process"})
    made(pictures, tmp_path / "out")
    assert names_in(tmp_path) == ["out", "pictures"]


def test_two_that_write_one_folder_do_not_disturb_each_other(pictures, tmp_path):
    refused = []

    def again(done):
        if done == 1:
            with pytest.raises(DataError, match="another process is writing") as error:
                made(pictures, tmp_path / "out")
            refused.append(error)
            made(pictures, tmp_path / "out-2")  # Of another name there are two at a time.

    found = make_copies(find_pictures(pictures), tmp_path / "out", on_progress=again)
    assert refused
    assert found.images == 3
    assert names_in(tmp_path) == ["out", "out-2", "pictures"]
    assert contents(tmp_path / "out") == contents(tmp_path / "out-2")
