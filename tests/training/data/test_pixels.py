"""Pixels: what serving would make of each file, in memory or as it comes."""

import tracemalloc

import numpy as np
import pytest
import torch

from model_store.images import decode_prepared
from tests.tiny import COLOUR_32, GREY_32
from tests.training.drawings import draw_folder
from training.data.opening import open_data
from training.data.pixels import PixelsAsTheyCome, PixelsInMemory, load_pixels
from training.data.training_set import TrainingSet
from training.errors import DataError

NO_MEMORY, MEMORY = 0, 2**30


@pytest.fixture
def drawings(tmp_path):
    return draw_folder(tmp_path / "drawings", classes=3, images=4, size=40)


def load(path, budget, spec=GREY_32):
    return load_pixels(open_data(path).whole, spec, budget=budget, workers=2)


@pytest.mark.parametrize("budget", [NO_MEMORY, MEMORY])
@pytest.mark.parametrize("spec", [GREY_32, COLOUR_32])
def test_pixels_are_those_that_serving_would_see(drawings, budget, spec):
    pixels = load(drawings, budget, spec)
    folder = pixels.folder
    wanted = np.array([7, 0, 7, 11])
    taken = pixels.take(wanted)
    assert taken.dtype == torch.uint8
    for row, index in enumerate(wanted):
        expected = decode_prepared(folder.read(folder.items[index]), spec)
        np.testing.assert_array_equal(taken[row].numpy(), expected)


def test_progress_is_told_to_the_end(drawings):
    told = []
    load_pixels(
        open_data(drawings).whole,
        GREY_32,
        budget=MEMORY,
        workers=2,
        on_progress=told.append,
    )
    assert told[-1] == 12


def test_in_memory_a_broken_image_is_left_out_and_named(drawings):
    whole = (drawings / "class01" / "02.png").read_bytes()
    (drawings / "class01" / "02.png").write_bytes(whole[:60])
    (drawings / "class02" / "00.png").write_text("not an image")
    pixels = load(drawings, MEMORY)
    assert isinstance(pixels, PixelsInMemory)
    assert [entry.key for entry in pixels.skipped] == ["class01/02.png", "class02/00.png"]
    assert "damaged" in pixels.skipped[0].reason
    assert len(pixels.folder.items) == len(pixels.images) == 10
    for index, item in enumerate(pixels.folder.items):
        expected = decode_prepared(pixels.folder.read(item), GREY_32)
        np.testing.assert_array_equal(pixels.images[index].numpy(), expected)


def test_leaving_out_a_broken_image_takes_no_memory_for_a_second_copy(tmp_path):
    path = draw_folder(tmp_path / "drawings", classes=6, images=10, size=40)
    (path / "class01" / "02.png").write_text("not an image")
    spec = COLOUR_32.model_copy(update={"height": 256, "width": 256})
    tracemalloc.start()
    try:
        pixels = load(path, MEMORY, spec)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * pixels.images.numel()
    for index in (11, 12, 58):
        expected = decode_prepared(pixels.folder.read(pixels.folder.items[index]), spec)
        np.testing.assert_array_equal(pixels.images[index].numpy(), expected)


def test_as_they_come_a_broken_image_gives_way_to_the_next_of_its_class(drawings):
    (drawings / "class01" / "03.png").write_text("not an image")
    pixels = load(drawings, NO_MEMORY)
    assert isinstance(pixels, PixelsAsTheyCome)
    assert pixels.skipped == ()
    taken = pixels.take(np.array([7, 4]))
    np.testing.assert_array_equal(taken[0].numpy(), taken[1].numpy())
    assert [entry.key for entry in pixels.skipped] == ["class01/03.png"]
    pixels.close()


def test_a_class_without_a_single_good_image(drawings):
    for file in (drawings / "class01").iterdir():
        file.write_text("not an image")
    assert len(load(drawings, MEMORY).folder.classes) == 2
    pixels = load(drawings, NO_MEMORY)
    with pytest.raises(DataError, match="class01"):
        pixels.take(np.array([5]))
    pixels.close()


def test_no_good_image_at_all(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text("not an image")
    with pytest.raises(DataError, match=r"a/x\.png"):
        load(tmp_path, MEMORY)


class TestTurnedClasses:
    def test_every_class_four_times(self, drawings):
        pixels = load(drawings, MEMORY)
        plain = TrainingSet(pixels, turned_classes=False)
        turned = TrainingSet(pixels, turned_classes=True)
        assert (len(plain.table), len(turned.table)) == (3, 12)
        assert len(turned.table.labels) == 48
        np.testing.assert_array_equal(turned.table.counts, 4)
        originals = plain.images(np.arange(12))
        for index in range(48):
            image = turned.images(np.array([index]))[0].numpy()
            np.testing.assert_array_equal(image, np.rot90(originals[index // 4], index % 4))
            assert turned.table.labels[index] == plain.table.labels[index // 4] * 4 + index % 4

    def test_a_group_is_turned_as_a_whole(self, tmp_path):
        pixels = load(draw_folder(tmp_path / "d", groups=2, classes=2, images=2), MEMORY)
        table = TrainingSet(pixels, turned_classes=True).table
        np.testing.assert_array_equal(table.groups, [0, 1, 2, 3] * 2 + [4, 5, 6, 7] * 2)

    def test_images_in_memory_stay_as_they_are(self, drawings):
        pixels = load(drawings, MEMORY)
        before = pixels.images.clone()
        TrainingSet(pixels, turned_classes=True).images(np.arange(48))
        assert torch.equal(pixels.images, before)
