import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydantic import ValidationError

from model_store.preprocessing import Preprocessing, normalise, prepare


def spec(**changes) -> Preprocessing:
    values = {"height": 20, "width": 30, "mode": "RGB", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return Preprocessing(**{**values, **changes})


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    mode=st.sampled_from(["RGB", "L"]),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    wanted=st.sampled_from(["RGB", "L"]),
    fraction=st.floats(0.3, 1),
)
def test_any_image_comes_out_in_the_networks_shape(width, height, mode, resize, wanted, fraction):
    one = (0.5,) * len(wanted if wanted == "RGB" else "L")
    made = prepare(
        Image.new(mode, (width, height), 77 if mode == "L" else (77, 77, 77)),
        spec(mode=wanted, resize=resize, crop_fraction=fraction, mean=one, std=one, fill=77),
    )
    assert made.shape == (20, 30, len(one))
    assert made.dtype == np.uint8
    assert made.flags.c_contiguous
    assert np.abs(made.astype(int) - 77).max() <= 1, "an even image stays even"


def test_an_image_of_the_networks_size_passes_unchanged():
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for resize in ("stretch", "letterbox", "crop"):
        assert np.array_equal(prepare(Image.fromarray(pixels), spec(resize=resize)), pixels)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@given(
    width=st.integers(20, 700),
    height=st.integers(20, 700),
    fraction=st.sampled_from([0.6, 0.875, 0.9, 1.0]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
@settings(max_examples=25)
def test_the_result_is_that_of_pillow(mode, resize, width, height, fraction, interpolation):
    one = (0.5,) * len(mode if mode == "RGB" else "L")
    options = {"mode": mode, "resize": resize, "crop_fraction": fraction, "mean": one, "std": one}
    chosen = spec(height=64, width=48, interpolation=interpolation, fill=255, **options)
    seed = width * 1000 + height
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    difference = np.abs(prepare(photo, chosen).astype(int) - by_pillow(photo, chosen))
    # A crop may be off by a thirty-second of a pixel; of small pictures the nearest cut is taken.
    assert difference.mean() < (1.0 if min(width, height) >= 200 or resize != "crop" else 4.5)


def by_pillow(photo: Image.Image, chosen: Preprocessing) -> np.ndarray:
    """What `prepare` should give, by Pillow, which can cut anywhere between two pixels."""
    target = (chosen.width, chosen.height)
    filter_ = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    if chosen.resize == "letterbox":
        inner = tuple(map(min, chosen.decode_size(*photo.size), target))
        canvas = Image.new(chosen.mode, target, (chosen.fill,) * chosen.channels)
        corner = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        canvas.paste(photo.resize(inner, filter_[chosen.interpolation], reducing_gap=3.0), corner)
        photo, box = canvas, None
    elif chosen.resize == "crop":
        scale = min(photo.width / target[0], photo.height / target[1]) * chosen.crop_fraction
        left = (photo.width - target[0] * scale) / 2
        top = (photo.height - target[1] * scale) / 2
        box = (left, top, photo.width - left, photo.height - top)
    else:
        box = None
    resized = photo.resize(target, filter_[chosen.interpolation], box=box, reducing_gap=3.0)
    return np.asarray(resized).reshape(chosen.shape).astype(int)


def test_letterbox_keeps_the_aspect_ratio_and_fills_both_ends():
    made = prepare(
        Image.new("RGB", (10, 20), (0, 0, 0)), spec(resize="letterbox", fill=200)
    )  # 1:2 into 20 rows x 30 columns: 10 columns of image between 10 and 10 of fill
    columns = made[:, :, 0].mean(axis=0)
    assert np.array_equal(columns, [200] * 10 + [0] * 10 + [200] * 10)


@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 2_000_000), (3, 1), (1, 1)])
def test_a_crop_of_one_long_row_is_no_work(size):
    made = prepare(Image.new("L", size, 9), spec(mode="L", resize="crop", mean=(0,), std=(1,)))
    assert (made == 9).all()


def test_crop_keeps_the_centre():
    pixels = np.zeros((20, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = 255
    assert prepare(Image.fromarray(pixels), spec(resize="crop")).min() == 255


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(["letterbox", "crop"]))
def test_decoding_is_never_asked_for_less_than_preparing_needs(width, height, resize):
    chosen = spec(resize=resize, crop_fraction=0.8)
    across, down = chosen.decode_size(width, height)
    if resize == "crop":
        assert across * 0.8 >= 30 - 1
        assert down * 0.8 >= 20 - 1
    else:
        assert across == pytest.approx(30, abs=1) or down == pytest.approx(20, abs=1)


def test_normalising_is_the_formula():
    chosen = spec(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    batch = torch.randint(0, 256, (2, 20, 30, 3), dtype=torch.uint8)
    made = normalise(batch, chosen)
    assert made.shape == (2, 3, 20, 30)
    for channel in range(3):
        by_hand = (batch[..., channel].double() / 255 - chosen.mean[channel]) / chosen.std[channel]
        assert torch.allclose(made[:, channel].double(), by_hand, atol=1e-6)


def test_a_specification_with_the_wrong_number_of_means_is_refused():
    with pytest.raises(ValidationError, match="need 3 value"):
        spec(mean=(0.5,))


INK = Preprocessing(
    height=48, width=48, mode="L", resize="ink", interpolation="bilinear", mean=(1.0,), std=(1.0,)
)


@pytest.mark.parametrize("size", [(4_000_000, 4), (3, 3_000_000), (60_000_000, 1)])
def test_a_picture_that_is_one_long_row_does_not_need_its_square_in_memory(size):
    picture = Image.new("L", size, 255)
    picture.paste(0, (0, 0, size[0] // 2, size[1]))
    assert prepare(picture, INK).shape == (48, 48, 1)


def test_a_large_drawing_is_prepared_like_the_same_one_smaller():
    small = Image.new("L", (900, 900), 255)
    small.paste(0, (200, 300, 500, 380))
    large = small.resize((5400, 5400), Image.Resampling.NEAREST)
    difference = np.abs(prepare(small, INK).astype(int) - prepare(large, INK))
    assert difference.mean() < 2


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_ink_is_cut_out_as_pillow_would_around_its_moments(interpolation, invert):
    picture = Image.new("RGB", (200, 200), (40, 40, 40))
    picture.paste((200, 40, 240), (60, 80, 110, 100))
    chosen = spec(
        resize="ink", ink_span=2.5, fill=40, interpolation=interpolation, invert=invert
    )  # 20 rows x 30 columns
    # 50 columns and 20 rows of ink around (85, 90); n places have a variance of (n² − 1) / 12.
    half = 2.5 * ((50**2 - 1 + 20**2 - 1) / 12) ** 0.5
    box = (85 - 1.5 * half, 90 - half, 85 + 1.5 * half, 90 + half)
    filter_ = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = picture.resize((30, 20), filter_[interpolation], box=box, reducing_gap=3.0)
    made = prepare(ImageOps.invert(picture) if invert else picture, chosen)
    assert np.array_equal(made, np.asarray(expected))


def test_around_ink_at_the_border_there_is_more_paper():
    picture = Image.new("L", (100, 100), 60)
    picture.paste(200, (0, 0, 40, 40))
    made = prepare(picture, INK.model_copy(update={"fill": 60}))
    assert made[0, 0] == made[0, -1] == made[-1, 0] == 60
    assert made[24, 24] == 200


def test_a_drawing_is_decoded_whole_since_only_its_pixels_say_where_it_is():
    assert INK.decode_size(900, 700) == (900, 700)
