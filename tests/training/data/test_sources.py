import os
import pickle
import socket
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.training.trees import grown, png, pngs, whole, zipped
from training.data.opening import open_data
from training.data.sources import FolderSource, ZipSource, open_source
from training.errors import DataError

TWO = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"]


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "a\\evil.png"]
)
def test_a_name_that_points_outside_an_archive_is_refused_and_the_rest_is_read(tmp_path, name):
    folder = whole(zipped(tmp_path / "data.zip", pngs(TWO) | {name: png(9)}))
    assert [item.key for item in folder.items] == TWO
    (refused,) = folder.skipped
    assert "evil.png" in refused.key
    assert "pack the archive again" in refused.reason


@pytest.mark.skipif(os.sep != "/", reason="Python itself mends such names on Windows")
def test_an_archive_of_windows_powershell_is_read(tmp_path):
    files = pngs(TWO)
    packed = {"pictures\\" + name.replace("/", "\\"): files[name] for name in files}
    path = zipped(tmp_path / "data.zip", packed | {"pictures\\empty\\": b"", "..\\x.png": png()})
    folder = whole(path)
    assert [item.key for item in folder.items] == TWO
    assert [folder.read(item) for item in folder.items] == list(files.values())
    assert {entry.key for entry in folder.skipped} == {"../x.png", "empty"}


def test_names_in_an_archive_that_come_to_others_are_read(tmp_path):
    files = pngs(TWO)
    odd = [f"./pictures//{TWO[0]}", *(f"pictures/./{name}" for name in TWO[1:])]
    path = zipped(tmp_path / "data.zip", dict(zip(odd, files.values(), strict=True)) | {"./": b""})
    for folder in (whole(path), whole(path / "pictures")):
        assert [item.key for item in folder.items] == TWO
        assert [folder.read(item) for item in folder.items] == list(files.values())
        assert not folder.skipped


def test_a_name_in_an_archive_does_not_hide_behind_one_that_comes_to_it(tmp_path):
    files = pngs(TWO)
    folder = whole(zipped(tmp_path / "data.zip", {f"./{TWO[0]}": png(9)} | files))
    assert folder.read(folder.items[0]) == files[TWO[0]]
    assert [entry.key for entry in folder.skipped] == [TWO[0]]


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


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are POSIX")
def test_a_path_that_is_no_unicode_is_refused_before_any_work(tmp_path):
    folder = grown(tmp_path / os.fsdecode(b"data\xff"), pngs(TWO))
    archive = zipped(tmp_path / os.fsdecode(b"\xfe.zip"), pngs(TWO))
    for path in (folder, archive, archive / "a"):
        with pytest.raises(DataError, match=r"not valid Unicode.*rename what") as refusal:
            open_source(path)
        str(refusal.value).encode()


@pytest.mark.skipif(os.name != "posix", reason="such files are POSIX")
def test_only_regular_files_are_read(tmp_path, monkeypatch):
    root = grown(tmp_path / "data", pngs(TWO))
    os.mkfifo(root / "a" / "pipe.jpg")
    (root / "a" / "to a pipe.jpg").symlink_to("pipe.jpg")
    (root / "b" / "device.png").symlink_to("/dev/zero")
    (root / "b" / "again.png").symlink_to(root / "a" / "1.png")
    (root / "b" / "gone.png").symlink_to("nowhere.png")
    monkeypatch.chdir(root)  # A socket's path has little room.
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("b/socket.png")
        folder = whole(root)
    assert [item.key for item in folder.items] == sorted([*TWO, "b/again.png", "b/gone.png"])
    refused = {entry.key: entry.reason for entry in folder.skipped}
    assert set(refused) == {"a/pipe.jpg", "a/to a pipe.jpg", "b/device.png", "b/socket.png"}
    assert all("not a regular file" in reason for reason in refused.values())


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = grown(tmp_path / "data", pngs(TWO))
    elsewhere = grown(tmp_path / "elsewhere", pngs(["x.png"]))
    (root / "c").symlink_to(elsewhere)
    (root / "a" / "again").symlink_to(root)
    (root / "round").symlink_to(root)
    folder = whole(root)
    assert [item.key for item in folder.items] == [*TWO, "c/x.png"]
    assert [entry.key for entry in folder.skipped] == ["a/again", "round"]


@pytest.mark.skipif(os.name != "posix", reason="paths may be that long on POSIX")
def test_folders_however_deep_are_looked_through(tmp_path, monkeypatch):
    root = grown(tmp_path / "data", pngs(TWO))
    depth = sys.getrecursionlimit() + 100
    monkeypatch.chdir(root / "a")
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("1.png").write_bytes(png())
    try:
        folder = whole(root)
    finally:  # What tidies up after tests may not reach as deep.
        Path("1.png").unlink()
        for _ in range(depth):
            os.chdir("..")
            Path("d").rmdir()
    assert [item.key for item in folder.items] == TWO
    assert [entry.key for entry in folder.skipped] == ["a/" + "d/" * depth + "1.png"]


def test_a_broken_link_is_found_when_it_is_read(tmp_path):
    root = grown(tmp_path, pngs(TWO))
    (root / "a" / "gone.png").symlink_to(root / "nowhere")
    folder = whole(root)
    gone = next(item for item in folder.items if item.key == "a/gone.png")
    with pytest.raises(DataError, match="cannot be read"):
        folder.read(gone)
    readable = folder.without({"a/gone.png"})
    assert folder.digest() == folder.digest() != readable.digest()


def test_a_path_that_is_not_there_or_not_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        open_data(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        open_data(tmp_path / "notes.txt")
    path = zipped(tmp_path / "data.zip", pngs(TWO))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"data\.zip begins as a zip archive .* cut short"):
        open_data(path)


@pytest.mark.parametrize(
    ("compression", "damaged"),
    [
        pytest.param(zipfile.ZIP_DEFLATED, slice(45, 60), id="deflated"),
        pytest.param(zipfile.ZIP_LZMA, slice(50, 70), id="lzma"),
    ],
)
def test_damage_inside_an_archive_is_an_error_of_that_file(tmp_path, compression, damaged):
    path = zipped(tmp_path / "data.zip", pngs(TWO), compression)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("a/2.png").header_offset
    content = bytearray(path.read_bytes())
    content[offset + damaged.start : offset + damaged.stop] = bytes(damaged.stop - damaged.start)
    path.write_bytes(bytes(content))
    folder = whole(path)
    assert folder.read(folder.items[0]) == pngs(TWO)["a/1.png"]
    with pytest.raises(DataError, match="cannot be read from the archive"):
        folder.read(folder.items[1])


@pytest.mark.parametrize(
    ("at", "value"),
    # In its list of files: the first name begun by what begins none in UTF-8 (and said to be in
    # it), and a version of the format that does not exist.
    [((9, 46), (0x08, 0xFF)), ((6, 7), (0xFE, 0xFF))],
)
def test_an_archive_whose_list_of_files_is_damaged_is_refused(tmp_path, at, value):
    path = zipped(tmp_path / "data.zip", pngs(TWO))
    content = bytearray(path.read_bytes())
    begin = content.index(b"PK\x01\x02")
    for place, byte in zip(at, value, strict=True):
        content[begin + place] = byte
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"data\.zip cannot be read as a zip archive .*pack it"):
        open_data(path)


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


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.sources.base.MAX_FILE_BYTES", 10)
    grown(tmp_path / "folder", pngs(TWO))
    zipped(tmp_path / "data.zip", pngs(TWO))
    for source in (FolderSource(tmp_path / "folder"), ZipSource(tmp_path / "data.zip")):
        with pytest.raises(DataError, match="over the limit of 10"):
            source.read("a/1.png")
