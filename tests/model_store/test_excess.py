"""Files that would keep a decoder at work for minutes are refused; what looks alike is read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from model_store import excess
from model_store.errors import UndecodableImage
from model_store.images import decode

SIDE = 64


def encoded(kind: str, **options) -> bytes:
    target = io.BytesIO()
    grey(SIDE).save(target, kind, **options)
    return target.getvalue()


def grey(side: int) -> Image.Image:
    return Image.new("L", (side, side), 128)


def jpeg_of_scans(extra: int, *, before_each: bytes = b"", within: bytes = b"") -> bytes:
    """A progressive JPEG with its fourth scan, of the lowest bits, repeated at the end."""
    whole = encoded("JPEG", progressive=True, quality=50)
    starts = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    # From the tables before the scan's marker on.
    first, last = whole.rindex(b"\xff\xc4", 0, starts[3]), whole.index(b"\xff\xc4", starts[3])
    repeated = (before_each + whole[first:last]) * extra
    return whole[:2] + within + whole[2:-2] + repeated + whole[-2:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png_with(chunk: bytes, times: int) -> bytes:
    whole = encoded("PNG")
    one = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return whole[:33] + one * times + whole[33:]


def bmp_of_run_lengths(width: int, height: int) -> bytes:
    """Each row is one run of a single pixel, and its end."""
    palette = b"\1\2\3\0" * 256
    pixels = b"\x01\x05\x00\x00" * height
    sizes = (54 + len(palette) + len(pixels), 0, 0, 54 + len(palette))
    header = (40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 256)
    return (
        b"BM"
        + struct.pack("<IHHI", *sizes)
        + struct.pack("<IiiHHIIiiII", *header)
        + (palette + pixels)
    )


def tiff_of_strips(count: int, strip: bytes) -> bytes:
    """A row of 16 pixels a strip, and all strips at the same place."""
    return tiff_of(count, strip, rows=1, places=273, sizes=279, more=((278, 1, 1),))


def tiff_of_tiles(count: int, tile: bytes) -> bytes:
    """16 rows of 16 pixels a tile, one below the other, and all tiles at the same place."""
    return tiff_of(count, tile, rows=16, places=324, sizes=325, more=((322, 1, 16), (323, 1, 16)))


def tiff_of(
    count: int,
    piece: bytes,
    *,
    rows: int,
    places: int,
    sizes: int,
    more: tuple[tuple[int, int, int], ...],
) -> bytes:
    tags = [(256, 1, 16), (257, 1, rows * count), (258, 1, 8), (259, 1, 8), (262, 1, 1), *more]
    at = 8 + 2 + 12 * (len(tags) + 3) + 4
    tags += [(277, 1, 1), (places, count, at), (sizes, count, at + 4 * count)]
    ifd = b"".join(struct.pack("<HHII", tag, 4, *value) for tag, *value in sorted(tags))
    tables = [struct.pack("<I", number) * count for number in (at + 8 * count, len(piece))]
    return b"".join((b"II*\0", struct.pack("<IH", 8, len(tags)), ifd, bytes(4), *tables, piece))


@pytest.mark.parametrize("before_each", [b"", b"\xff\xd0", b"\xff\xff\xff"])
def test_many_scans_of_many_pixels_are_refused(before_each: bytes):
    data = jpeg_of_scans(40, before_each=before_each)
    assert decode(data).size == (SIDE, SIDE)
    with pytest.raises(UndecodableImage, match="more than 16 scans; save it again"):
        decode(data, max_pixels=SIDE**2)


@pytest.mark.parametrize("odd", [0, 1])
def test_scans_are_counted_wherever_they_lie(odd: int):
    data, *scans = jpeg_of_scans(40).split(b"\xff\xda")
    for scan in scans:
        # A byte that may stand before any marker.
        data += b"\xff" * ((len(data) - odd) % 2) + b"\xff\xda" + scan
    assert {at % 2 for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"} == {odd}
    with pytest.raises(UndecodableImage, match="more than 16 scans"):
        decode(data, max_pixels=SIDE**2)


def test_scans_of_a_jpeg_with_pictures_behind_it_are_counted():
    whole = encoded("MPO", save_all=True, append_images=[grey(SIDE)])
    at = whole.index(b"MPF\0")
    index = segment(0xE2, whole[at : at - 2 + int.from_bytes(whole[at - 2 : at], "big")])
    data = jpeg_of_scans(40, within=index)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    with pytest.raises(UndecodableImage, match="more than 16 scans"):
        decode(data, max_pixels=SIDE**2)


def test_fewer_pixels_may_have_more_scans_but_their_edges_count():
    data = jpeg_of_scans(12)
    assert data.count(b"\xff\xda") == 30
    assert decode(data, max_pixels=8 * SIDE**2).size == (SIDE, SIDE)
    with pytest.raises(UndecodableImage, match="more than 16 scans"):
        decode(data, max_pixels=4 * SIDE**2)


def test_what_only_looks_like_scans_is_none():
    alike = b"\xff\xda\0\x08" * 100
    data = jpeg_of_scans(0, within=segment(0xFE, alike)) + alike
    assert decode(data, max_pixels=SIDE**2).size == (SIDE, SIDE)


def test_exif_in_very_many_pieces_is_refused():
    piece = segment(0xE1, b"Exif\0\0" + b"a" * 6)
    whole = encoded("JPEG")
    assert decode(whole[:2] + piece * 50 + whole[2:]).size == (SIDE, SIDE)
    with pytest.raises(UndecodableImage, match="without metadata"):
        decode(whole[:2] + piece * 50_000 + whole[2:])


@pytest.mark.parametrize("chunk", [b"zTXt\0\0", b"iTXt\0\1\0\0\0", b"iCCPname\0\0"])
def test_very_many_compressed_texts_are_refused(chunk: bytes):
    data = chunk + zlib.compress(bytes(100_000))
    assert decode(png_with(data, 50)).size == (SIDE, SIDE)
    with pytest.raises(UndecodableImage, match="without metadata"):
        decode(png_with(data, 2_000))


def test_metadata_in_very_many_pieces_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(excess, "_READS", 1_000)
    whole = encoded("JPEG")
    for pieces in (b"\xff\xfe\0\2", b"\xff"):
        assert decode(whole[:2] + pieces * 200 + whole[2:]).size == (SIDE, SIDE)
        with pytest.raises(UndecodableImage, match="so many pieces"):
            decode(whole[:2] + pieces * 2_000 + whole[2:])


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_plain_text_of_comments_is_refused(kind: bytes):
    head = kind + b"\n8 8\n" + (b"" if kind == b"P1" else b"255\n")
    few, many = b"# row\n" * 50, b"#\n" * 100_000
    values = b"1 " * 200
    assert list(decode(head + few + values).tobytes()) == list(decode(head + values).tobytes())
    with pytest.raises(UndecodableImage, match="10,000 comments; save it without"):
        decode(head + many + values)


def test_large_run_length_encoded_bmps_are_refused():
    assert decode(bmp_of_run_lengths(300, 200)).size == (300, 200)
    with pytest.raises(UndecodableImage, match="63,700,000 pixels, over the limit of 10,000,000"):
        decode(bmp_of_run_lengths(65_000, 980))


def test_strips_that_lie_in_one_another_are_refused():
    row = zlib.compress(bytes(16))
    assert decode(tiff_of_strips(1_000, row)).size == (16, 1_000)
    # Blocks of deflate with nothing in them, to be gone through for each strip.
    long = row[:2] + b"\0\0\0\xff\xff" * 20_000 + row[2:]
    with pytest.raises(UndecodableImage, match="strips or tiles overlap"):
        decode(tiff_of_strips(10_000, long))


def test_tiles_that_lie_in_one_another_are_refused():
    tile = zlib.compress(bytes(256))
    assert decode(tiff_of_tiles(100, tile)).size == (16, 1_600)
    with pytest.raises(UndecodableImage, match="strips or tiles overlap"):
        decode(tiff_of_tiles(2_000, tile + bytes(100_000)))


def test_very_many_strips_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(excess, "_STRIPS", 10)
    target = io.BytesIO()
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (12, 70_000), dtype=np.uint8))
    noise.save(target, "TIFF", tiffinfo={278: 1})
    with pytest.raises(UndecodableImage, match="12 strips or tiles, over the limit of 10"):
        decode(target.getvalue())
