import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.errors import ImageTooLarge, UndecodableImage, UnsupportedImageType
from model_store.images import decode, decode_prepared
from model_store.preprocessing import Preprocessing


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    width: int, height: int, *, depth: int, colour: int, rows: bytes, key: bytes = b""
) -> bytes:
    """A PNG as Pillow does not write it: of any depth, its rows as they are given."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"]
    if key:
        chunks.insert(1, b"tRNS" + key)
    whole = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def half_and_half(width: int = 64, height: int = 32) -> Image.Image:
    """Left half black, right half white."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, width // 2 :] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_every_type_on_the_list_is_read(kind: str):
    image = decode(encoded(half_and_half(), kind))
    grey = np.asarray(image.convert("L"))
    assert image.size == (64, 32)
    assert grey[:, :24].max() < 20
    assert grey[:, 40:].min() > 235


def test_a_type_off_the_list_is_refused():
    with pytest.raises(UnsupportedImageType, match="send JPEG, PNG"):
        decode(encoded(half_and_half(), "ICO"))


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"%PDF-1.7", bytes(1000)])
def test_what_is_no_image_is_refused(data: bytes):
    with pytest.raises(UnsupportedImageType):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_image_cut_short_is_refused(kind: str):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    with pytest.raises((UndecodableImage, UnsupportedImageType)):
        decode(whole[: len(whole) // 2])


def quarters() -> Image.Image:
    """Four flat quarters, each of a grey of its own."""
    greys = np.array([[0, 80], [160, 255]], dtype=np.uint8)
    return Image.fromarray(greys.repeat(16, axis=0).repeat(32, axis=1)).convert("RGB")


# What a camera stores so that applying the tag gives the upright picture again (EXIF 2.3, 0x0112).
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, kind: str):
    upright = quarters()
    stored = upright.transpose(UNDO[orientation]) if orientation in UNDO else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, kind, exif=exif, quality=95))
    assert image.size == (64, 32)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_says_nothing_of_the_pixels(kind: str):
    image = decode(encoded(quarters(), kind, exif=b"Exif\0\0this is no TIFF"))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(quarters())).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_though_other_tags_are_odd(kind: str):
    # XResolution as a byte, which Pillow cannot write again, after the orientation.
    tags = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 1, 1, 5)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4)
    stored = quarters().transpose(UNDO[6])
    image = decode(encoded(stored, kind, exif=exif, quality=95))
    assert image.size == (64, 32)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(quarters())).mean() < 4


def test_sixteen_bits_are_scaled_and_not_clipped():
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    image = decode(encoded(Image.fromarray(ramp), "PNG"))
    assert image.mode == "L"
    assert np.abs(np.asarray(image).astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert np.asarray(decode(encoded(clear, "PNG"))).min() == 255
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert np.asarray(decode(encoded(palette, "PNG", transparency=0))).min() == 255


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("L", "GIF"), ("1", "PNG"), ("RGB", "PNG")]
)
def test_a_colour_that_is_declared_transparent_is_laid_on_white(mode: str, kind: str):
    pixels = np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels[20:30] = 0
    stored = Image.fromarray(pixels)
    stored = stored if mode == "RGB" else stored.getchannel(0).convert(mode)
    data = encoded(stored, kind, transparency=(0, 0, 0) if mode == "RGB" else 0)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == mode
    expected = np.array(stored.convert("RGB"))
    expected[(expected == 0).all(axis=2)] = 255
    assert np.array_equal(np.asarray(decode(data).convert("RGB")), expected)


@pytest.mark.parametrize(
    ("depth", "colour", "row", "key", "expected"),
    [
        (2, 0, "1b", "0001", [0, 255, 170, 255]),
        (4, 0, "35", "0003", [255, 85]),
        # Another grey than the key's, though the same when rounded to 8 bits.
        (16, 0, "0000 0001 8080", "0001", [0, 255, 128]),
        (16, 2, "8000 8000 8000 4000 8000 8000", "8000 8000 8000", [255] * 3 + [64, 128, 128]),
    ],
)
def test_the_transparent_colour_is_of_the_files_depth(
    depth: int, colour: int, row: str, key: str, expected: list[int]
):
    rows = b"\0" + bytes.fromhex(row)
    width = len(expected) // (3 if colour == 2 else 1)
    data = png(width, 1, depth=depth, colour=colour, rows=rows, key=bytes.fromhex(key))
    assert np.asarray(decode(data)).ravel().tolist() == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_every_value_of_every_transparency_is_laid_on_white_exactly(mode: str, wanted: str):
    alpha, value = np.indices((256, 256), dtype=np.uint8)
    bands = [value, alpha] if mode == "LA" else [value, 255 - value, value // 2, alpha]
    image = Image.fromarray(np.dstack(bands))
    one = (0.5,) * len(wanted if wanted == "RGB" else "L")
    spec = Preprocessing(height=256, width=256, mode=wanted, mean=one, std=one)
    white = Image.new("RGBA", image.size, "white")
    expected = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB").convert(wanted)
    found = decode_prepared(encoded(image, "PNG"), spec)
    assert np.array_equal(found.squeeze(), np.asarray(expected))


_PEAKS = """
import sys
from pathlib import Path
from model_store.images import decode

def memory(kept):
    (line,) = (line for line in Path("/proc/self/status").open() if line.startswith(kept))
    return int(line.split()[1]) * 1024

for name in sys.argv[1:]:
    data = Path(name).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    before = memory("VmRSS")
    width, height = decode(data).size
    print((memory("VmHWM") - before) / (width * height))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is Linux's to tell")
def test_decoding_takes_no_more_memory_than_is_said(tmp_path: Path):
    """In bytes a pixel, as `docs/security.md` has it; an image that has to be turned as well."""
    exif = Image.Exif()
    exif[0x0112] = 6
    said = {("PNG", "RGB"): 8, ("PNG", "RGBA"): 8, ("PNG", "LA"): 8, ("WEBP", "RGBA"): 16}
    for number, (kind, mode) in enumerate(said):
        file = tmp_path / str(number)
        file.write_bytes(encoded(Image.new(mode, (3000, 3000)), kind, exif=exif))
    files = [tmp_path / str(number) for number in range(len(said))]
    ran = subprocess.run(
        [sys.executable, "-c", _PEAKS, *files], check=True, capture_output=True, text=True
    )
    for one, peak in zip(said, ran.stdout.split(), strict=True):
        assert float(peak) < said[one] + 0.5, one


def test_cmyk_becomes_rgb():
    image = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert image.mode == "RGB"
    red = np.asarray(image).mean(axis=(0, 1))
    assert red[0] > 200
    assert max(red[1], red[2]) < 60


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data)).min() == 255


@pytest.mark.parametrize("side", [10_000, 30_000])
def test_too_many_declared_pixels_are_refused_before_decoding(side: int):
    with pytest.raises(ImageTooLarge, match="pixels"):
        decode(png(side, side, depth=8, colour=2, rows=b"\0"))


def test_as_many_pixels_as_are_allowed_are_read_and_not_one_more():
    data = encoded(Image.new("L", (11, 7)), "PNG")
    assert decode(data, max_pixels=77).size == (11, 7)
    with pytest.raises(ImageTooLarge, match="11x7 = 77 pixels, over the limit of 76"):
        decode(data, max_pixels=76)


def test_a_limit_above_pillows_own_is_the_one_that_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # It refuses more than twice that.
    data = encoded(Image.new("L", (20, 20)), "PNG")
    with pytest.raises(ImageTooLarge):
        decode(data, max_pixels=90)
    assert Image.MAX_IMAGE_PIXELS == 100
    assert decode(data, max_pixels=400).size == (20, 20)
    with pytest.raises(ImageTooLarge, match="over the limit of 90"):
        decode(data, max_pixels=90)


@pytest.mark.parametrize("size", [(1, 5_000_000), (5_000_000, 1)])
def test_a_side_that_would_cost_more_than_its_pixels_is_refused(size: tuple[int, int]):
    with pytest.raises(ImageTooLarge, match="no side may have more than 4,000,000"):
        decode(png(*size, depth=8, colour=2, rows=b"\0"))
    long = encoded(Image.new("L", (1, 60_000)), "PNG")
    assert decode(long, max_pixels=60_000).size == (1, 60_000)


def tiled_tiff(side: int, tile: int, *, kind: int = 4) -> bytes:
    """A grey square in one tile, whose sides are given as numbers of some kind of TIFF's."""
    data = zlib.compress(bytes(tile * tile))
    tags = [(256, 4, side), (257, 4, side), (258, 4, 8), (259, 4, 8), (262, 4, 1)]
    tags += [(322, kind, tile), (323, kind, tile), (324, 4, 122), (325, 4, len(data))]
    ifd = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + ifd + bytes(4) + data


def test_a_tile_larger_than_what_is_allowed_is_refused_however_small_the_image():
    assert decode(tiled_tiff(64, 64)).size == (64, 64)
    assert decode(tiled_tiff(64, 1024)).size == (64, 64)
    with pytest.raises(ImageTooLarge, match="tiles of 1024x1024 = 1,048,576 pixels"):
        decode(tiled_tiff(64, 1024), max_pixels=1_000_000)
    with pytest.raises(UndecodableImage, match="no whole numbers"):
        decode(tiled_tiff(64, 64, kind=1))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_large_jpeg_decoded_small_looks_the_same(mode: str):
    rng = np.random.default_rng(5)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    photo = smooth.resize((900, 1200), Image.Resampling.BICUBIC)
    one = (0.5,) * (3 if mode == "RGB" else 1)
    spec = Preprocessing(height=64, width=64, mode=mode, resize="crop", mean=one, std=one)
    small = decode_prepared(encoded(photo, "JPEG", quality=95), spec)
    full = decode_prepared(encoded(photo, "PNG"), spec)
    assert np.abs(small.astype(int) - full.astype(int)).mean() < 2


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_on_its_side_is_decoded_as_small_as_an_upright_one(orientation: int, resize: str):
    upright = half_and_half(1600, 800)
    stored = upright.transpose(UNDO[orientation]) if orientation in UNDO else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    half = (0.5,) * 3
    spec = Preprocessing(height=50, width=200, mode="RGB", resize=resize, mean=half, std=half)
    # An eighth still has 200 columns and 100 rows.
    assert decode(encoded(stored, "JPEG", exif=exif), spec=spec).size == (200, 100)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_first_of_several_pictures_in_a_jpeg_is_read_as_a_jpeg_is(orientation: int):
    rng = np.random.default_rng(6)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    photo = smooth.resize((900, 1200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    alone = encoded(photo, "JPEG", exif=exif)
    first = encoded(photo, "MPO", exif=exif, save_all=True, append_images=[half_and_half()])
    with Image.open(io.BytesIO(first)) as opened:
        assert opened.format == "MPO"
    half = (0.5,) * 3
    spec = Preprocessing(height=64, width=48, mode="RGB", resize="crop", mean=half, std=half)
    # By the JPEG's own scaling, which is what makes it quick: other scaling has other pixels.
    assert np.array_equal(decode_prepared(first, spec), decode_prepared(alone, spec))


_DECODES_IN_THREADS = """
import sys, threading, warnings
from pathlib import Path
from model_store.images import decode

sys.setswitchinterval(1e-6)
data = Path(sys.argv[1]).read_bytes()
before, failures = list(warnings.filters), []

def several():
    try:
        for _ in range(25):
            decode(data)
    except Exception as error:
        failures.append(error)

threads = [threading.Thread(target=several) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures[0]
assert warnings.filters == before, "the filters of warnings are not as they were"
"""


def test_odd_metadata_are_nobodys_business_in_whatever_thread(tmp_path: Path):
    exif = Image.Exif()
    exif[0x010E] = "a description of some length"
    cut_short = exif.tobytes()[:-8]
    odd = tmp_path / "odd.jpg"
    odd.write_bytes(encoded(half_and_half(), "JPEG", exif=cut_short))
    with pytest.warns(UserWarning, match="Truncated|EXIF"), Image.open(odd) as image:
        image.getexif()
    # A process of its own: pytest has filters of its own for each test.
    command = [sys.executable, "-W", "error::UserWarning", "-c", _DECODES_IN_THREADS, str(odd)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
