"""What decoding an AVIF takes is found before it is decoded; those that programs write are read."""

import contextlib
import io
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError, features

from model_store.avif import UnusualAvif, frames_decoded
from model_store.errors import ImageError, ImageTooLarge, UndecodableImage
from model_store.images import decode

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")

SIDE = 64
BOX, SEQUENCE = struct.Struct(">I4s"), 1


def encoded(side: int = SIDE, *, mode: str = "RGB", pictures: int = 1, **options: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    first = Image.fromarray(noise, "RGBA").convert(mode).resize((side, side))
    more = [first.rotate(90 * turn) for turn in range(1, pictures)]
    target = io.BytesIO()
    first.save(target, "AVIF", speed=10, save_all=pictures > 1, append_images=more, **options)
    return target.getvalue()


def with_declared(data: bytes, side: int) -> bytes:
    """The file with another size of the picture declared, and the same frame in it."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


def box(kind: bytes, *content: bytes) -> bytes:
    return BOX.pack(8 + sum(map(len, content)), kind) + b"".join(content)


def file_of(
    stream: bytes,
    *,
    side: int = SIDE,
    extents: int = 1,
    method: int = 0,
    version: int = 0,
    brand: bytes = b"avif",
) -> bytes:
    """A still picture whose only item is a stream, written out or read again and again."""
    kind = box(b"infe", b"\2\0\0\0", struct.pack(">HH4sB", 1, 0, b"av01", 0))

    def whole(at: int) -> bytes:
        places = struct.pack(">II", at, len(stream)) * extents
        how = struct.pack(">H", method) if version else b""
        item = struct.pack(">H", 1) + how + struct.pack(">HH", 0, extents)
        properties = (
            box(b"ispe", b"\0" * 4, struct.pack(">II", side, side)),
            box(b"pixi", b"\0" * 4, b"\3\x08\x08\x08"),
            configuration(),
        )
        meta = box(
            b"meta",
            b"\0" * 4,
            box(b"hdlr", b"\0" * 8, b"pict", b"\0" * 13),
            box(b"pitm", b"\0" * 4, b"\0\1"),
            box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0]), b"\0\1", item, places),
            box(b"iinf", b"\0" * 4, b"\0\1", kind),
            box(
                b"iprp",
                box(b"ipco", *properties),
                box(b"ipma", b"\0" * 4, b"\0\0\0\1", b"\0\1", b"\3\1\2\x83"),
            ),
            *([box(b"idat", stream)] if method else []),
        )
        return box(b"ftyp", brand, b"\0" * 4, b"avifmif1miaf") + meta

    if method:
        return whole(0)
    return whole(len(whole(0)) + 8) + box(b"mdat", stream)


def configuration() -> bytes:
    data = encoded()
    at = data.index(b"av1C") - 4
    return data[at : at + BOX.unpack_from(data, at)[0]]


def frame(side: int = SIDE) -> bytes:
    """A sequence header and a frame, as an encoder gives them."""
    data = encoded(side)
    return data[data.rindex(b"mdat") + 4 :]


def packed(*fields: tuple[int, int]) -> bytes:
    """Numbers of some bits each: value, bits."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields if bits)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def unit(kind: int, content: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    ("mode", "pictures", "frames"),
    [("L", 1, 1), ("RGB", 1, 1), ("RGBA", 1, 2), ("RGB", 2, 2), ("RGBA", 3, 4)],
)
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_frames_of_what_an_encoder_writes(mode: str, pictures: int, frames: int, subsampling: str):
    # An animation's first picture is stored once and stands in two places, each with its alpha.
    data = encoded(mode=mode, pictures=pictures, subsampling=subsampling)
    assert frames_decoded(data) == [SIDE * SIDE] * frames
    assert decode(data, max_pixels=SIDE * SIDE).size == (SIDE, SIDE)


def test_a_frame_larger_than_the_picture_is_refused_before_it_is_decoded():
    data = with_declared(encoded(side=1000), 10)
    assert Image.open(io.BytesIO(data)).size == (10, 10)
    with pytest.raises(ImageTooLarge, match="a frame of 1,000,000 pixels"):
        decode(data, max_pixels=999_999)


def test_very_many_frames_are_refused():
    assert np.asarray(decode(file_of(frame()))).shape == (SIDE, SIDE, 3)
    assert frames_decoded(file_of(frame() * 50)) == [SIDE * SIDE] * 50
    decode(file_of(frame() * 50))
    # Eight times as many pixels are allowed: those of the frames, and 10,000 more for each.
    decode(file_of(frame() * 50), max_pixels=89_000)
    with pytest.raises(UndecodableImage, match="50 frames"):
        decode(file_of(frame() * 50), max_pixels=65_000)


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"msf1"])
def test_frames_are_counted_in_all_that_is_given_to_libavif(brand: bytes):
    assert Image.open(io.BytesIO(file_of(frame(), brand=brand))).format == "AVIF"
    with pytest.raises(UndecodableImage, match="50 frames"):
        decode(file_of(frame() * 50, brand=brand), max_pixels=65_000)


def test_frames_of_an_animation_are_measured_before_it_is_opened():
    data = encoded(side=100, pictures=2)
    assert data[4:12] == b"ftypavis"
    with pytest.raises(ImageTooLarge, match="a frame of 10,000 pixels"):
        decode(data, max_pixels=9_999)


@pytest.mark.parametrize("method", [0, 1])
def test_items_are_found_wherever_they_lie(method: int):
    data = file_of(frame(), method=method, version=1)
    assert frames_decoded(data) == [SIDE * SIDE]
    assert decode(data).size == (SIDE, SIDE)


def test_units_with_an_extension_are_read():
    stream, extended, at = frame(), b"", 0
    while at < len(stream):
        # The type, and the size in seven bits a byte, the lowest first.
        behind = at + 1 + next(n for n in range(1, 9) if stream[at + n] < 128)
        size = sum((byte & 127) << 7 * n for n, byte in enumerate(stream[at + 1 : behind]))
        extended += bytes([stream[at] | 4, 0]) + stream[at + 1 : behind + size]
        at = behind + size
    assert len(extended) > len(stream)
    assert frames_decoded(file_of(extended)) == [SIDE * SIDE]
    assert np.array_equal(decode(file_of(extended)), decode(file_of(stream)))


def test_items_longer_than_the_file_are_refused():
    # As libavif does. Put together they could be 65,535 times 16 MB.
    with pytest.raises(UnusualAvif, match="longer than the file"):
        frames_decoded(file_of(frame(), extents=100))


def test_very_many_pieces_are_refused():
    with pytest.raises(UnusualAvif, match="pieces"):
        frames_decoded(file_of(frame() + b"\x12\0" * 200_000))
    with pytest.raises(UnusualAvif, match="pieces"):
        frames_decoded(encoded() + box(b"free") * 200_000)


@pytest.mark.parametrize("size", [2, 7, 10_000])
def test_a_box_that_ends_where_it_cannot_is_refused(size: int):
    data = encoded()
    at = data.index(b"meta") - 4
    with pytest.raises(UnusualAvif, match=f"byte {at}"):
        frames_decoded(data[:at] + struct.pack(">I", size) + data[at + 4 :])


def test_boxes_of_long_sizes_and_of_none_are_read():
    data = encoded()
    at = data.index(b"mdat") - 4
    to_the_end = data[:at] + b"\0\0\0\0" + data[at + 4 :]
    assert frames_decoded(to_the_end) == [SIDE * SIDE]
    large = data + struct.pack(">I4sQ", 1, b"free", 16)
    assert frames_decoded(large) == [SIDE * SIDE]


BEHIND = [b"\n", b"\r\n", bytes(4), bytes(100), b"\0\0\0\1free", b"a text of the camera's"]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("pictures", [1, 2])
def test_what_stands_behind_the_last_box_is_passed_over_as_libavif_does(
    behind: bytes, pictures: int
):
    data = encoded(pictures=pictures)
    assert frames_decoded(data + behind) == frames_decoded(data)
    assert np.array_equal(decode(data + behind), decode(data))


@pytest.mark.parametrize("needed", [b"meta", b"moov"])
def test_what_is_no_box_is_refused_as_long_as_libavif_looks_for_boxes(needed: bytes):
    data = encoded(pictures=2)
    at = data.index(needed) - 4
    broken = data[:at] + b"\0\0\0\7" + data[at:]
    with pytest.raises(UnusualAvif, match=f"byte {at}"):
        frames_decoded(broken)
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(broken))


def test_what_stands_behind_the_boxes_hides_no_frame_in_them():
    for data in (file_of(frame() * 50), encoded(mode="RGBA", pictures=3)):
        for behind in BEHIND:
            assert frames_decoded(data + behind) == frames_decoded(data)
    with pytest.raises(UnusualAvif, match="pieces"):
        frames_decoded(encoded() + box(b"free") * 200_000 + b"\n")


ONE_OPERATING_POINT = ((0, 5), (0, 12), (8, 5), (1, 1))
TIMING = ((1, 1), (1, 32), (25, 32))
MODEL = ((1, 1), (9, 5), (1, 32), (9, 5), (6, 5))


@pytest.mark.parametrize(
    ("before", "time_bits"),
    [
        # No timing; no display delay.
        (((0, 1), (0, 1), *ONE_OPERATING_POINT), 0),
        # Timing without equal intervals, and a model: frames that are shown have seven bits of it.
        ((*TIMING, (0, 1), *MODEL, (0, 1), *ONE_OPERATING_POINT, (1, 1), (0, 21)), 7),
        # Equal intervals of 1 + 4 ticks (00101 is 4), and a model: they have none.
        (
            (*TIMING, (1, 1), (5, 5), *MODEL, (1, 1), *ONE_OPERATING_POINT, (0, 1), (1, 1), (3, 4)),
            0,
        ),
    ],
)
@pytest.mark.parametrize("ids", [0, 15])
def test_a_frame_of_its_own_size_is_refused(
    before: tuple[tuple[int, int], ...], time_bits: int, ids: int
):
    size = ((9, 4), (8, 4), (999, 10), (299, 9))
    of_ids = ((1, 1), (10, 4), (2, 3)) if ids else ((0, 1),)
    # The order of frames is known; whether they are of a screen, each says.
    tools = ((0, 3), (0, 4), (1, 1), (0, 2), (1, 1), (1, 1))
    header = packed((0, 3), (0, 1), (0, 1), *before, *size, *of_ids, *tools, (0, 8))

    def of(*start: tuple[int, int], own: int) -> bytes:
        return packed(*start, (0, 1), (1, 1), (1, 1), (0, ids), (own, 1), (127, 7))

    key = ((0, 1), (0, 2), (1, 1), (2**time_bits - 1, time_bits))
    hidden = ((0, 1), (1, 2), (0, 1), (1, 1), (1, 1))
    for start in (key, hidden):
        for kind in (3, 6):
            same = unit(SEQUENCE, header) + unit(kind, of(*start, own=0))
            assert frames_decoded(file_of(same)) == [300_000]
            other = unit(SEQUENCE, header) + unit(kind, of(*start, own=1))
            with pytest.raises(UnusualAvif, match="another size"):
                frames_decoded(file_of(other))
    switch = unit(SEQUENCE, header) + unit(6, packed((0, 1), (3, 2), (1, 1), (0, 60)))
    with pytest.raises(UnusualAvif, match="another size"):
        frames_decoded(file_of(switch))


@given(st.integers(0, 2**32), st.sampled_from(["RGB", "RGBA"]), st.booleans())
def test_damage_is_an_image_error(seed: int, mode: str, animated: bool):
    draw, data = random.Random(seed), bytearray(WHOLE[mode, animated])
    for _ in range(draw.randrange(1, 5)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    with contextlib.suppress(ImageError):
        decode(bytes(data[: draw.randrange(16, len(data)) if draw.random() < 0.3 else None]))


WHOLE = {
    (mode, animated): encoded(mode=mode, pictures=1 + animated)
    for mode in ("RGB", "RGBA")
    for animated in (False, True)
    if features.check("avif")
}
