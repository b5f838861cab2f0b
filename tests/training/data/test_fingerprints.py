import io

import numpy as np
from PIL import Image

from tests.training.drawings import draw_folder
from tests.training.trees import zipped
from training.data.fingerprints import Fingerprints, near_pairs, perceptual_hash, take_fingerprints
from training.data.opening import open_data


def test_the_hash_is_that_of_the_slow_transform():
    look = np.random.default_rng(0).uniform(0, 255, (1, 32, 32)).astype(np.float32)
    low = np.zeros((8, 8))
    for u in range(8):
        for v in range(8):
            across = np.cos(np.pi / 32 * (np.arange(32) + 0.5) * v)
            down = np.cos(np.pi / 32 * (np.arange(32) + 0.5) * u)
            low[u, v] = (look[0] * down[:, None] * across).sum()
    flat = low.reshape(-1)
    flat[0] = 0
    expected = np.where(flat > np.median(flat[1:]), 1, -1)
    np.testing.assert_array_equal(perceptual_hash(look)[0], expected)


def test_what_cannot_be_read_is_left_out(tmp_path):
    drawings = draw_folder(tmp_path / "drawings", classes=22, images=5)
    (drawings / "class00" / "01.png").write_text("not an image")
    folder = open_data(drawings).whole
    told = []
    prints = take_fingerprints(folder, folder.items, workers=2, on_progress=told.append)
    assert len(prints.items) == len(prints.digests) == len(prints.looks) == 109
    assert told[-1] == 110
    assert len(take_fingerprints(folder, (), workers=1).items) == 0


def test_blank_pages_are_like_no_other(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (20, 20), 255).save(buffer, "PNG")
    files = {f"{name}/1.png": buffer.getvalue() for name in "ab"}
    folder = open_data(zipped(tmp_path / "d.zip", files)).whole
    prints = take_fingerprints(folder, folder.items, workers=1)
    assert list(near_pairs(prints, prints)) == []
    assert len(set(prints.digests)) == 1


def test_pictures_that_all_look_alike_are_paired_a_few_at_a_time():
    generator = np.random.default_rng(0)
    looks = generator.uniform(60, 200, (2, 32, 32)).repeat([600, 30], axis=0)
    looks = (looks + generator.normal(0, 1, looks.shape)).astype(np.float32)
    prints = Fingerprints((), (), looks.reshape(-1, 1024), perceptual_hash(looks))
    blocks = list(near_pairs(prints, prints))
    assert max(len(np.unique(block[:, 0])) for block in blocks) < 300
    pairs = np.concatenate(blocks)
    first = (pairs < 600).all(1)
    assert len(pairs) == len(np.unique(pairs, axis=0)) == 600**2 + 30**2
    assert first.sum() == 600**2
    assert (pairs[~first] >= 600).all()


def test_real_photos_are_not_taken_for_one_another(data):
    opened = open_data(data / "grocery_store" / "grocery_store.zip")
    some = opened.validation.items[::4]
    prints = take_fingerprints(opened.validation, some, workers=2)
    pairs = np.concatenate(list(near_pairs(prints, prints)))
    assert pairs.tolist() == [[n, n] for n in range(len(some))]
