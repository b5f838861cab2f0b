"""Images whose values are of more bits than eight, or of another range."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from model_store.errors import UndecodableImage, UnsupportedImageType
from model_store.images import decode


@pytest.mark.parametrize("most", [1, 100, 254, 256, 4095, 65_534])
@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_samples_of_any_range_are_scaled_as_pillow_scales_them(kind: str, most: int):
    rng = np.random.default_rng(most)
    width, height, channels = 5, 7, 3 if kind == "P6" else 1
    top = 256 if most < 256 else 65_536  # Beyond `most` as well, which damaged files have.
    samples = rng.integers(0, top, width * height * channels)
    head = f"{kind}\n# of a sensor\n{width} {height}\n{most}\n".encode()
    data = head + samples.astype(np.uint8 if most < 256 else ">u2").tobytes()
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.tile[0].codec_name == "ppm"
        expected = np.asarray(opened).astype(float)
        scale = 257 if opened.mode == "I" else 1
    found = np.asarray(decode(data))
    assert found.shape == expected.shape
    assert np.abs(found - expected / scale).max() <= (1 if scale == 257 else 0)
    with pytest.raises(UndecodableImage):
        decode(data[:-1])


def grey_tiff(samples: bytes, *, bits: int, photometric: int, kind: int = 1) -> bytes:
    """A TIFF as Pillow does not write it: 16 pixels across and down, samples as they are given."""
    tags = [(256, 4, 16), (257, 4, 16), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, 16), (279, 4, len(samples)), (339, 3, kind)]
    ifd = b"".join(struct.pack("<HHII", tag, size, 1, value) for tag, size, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(samples)) + samples + bytes([len(tags), 0]) + ifd


@pytest.mark.parametrize(("bits", "photometric"), [(8, 1), (8, 0), (12, 1), (16, 1), (16, 0)])
def test_grey_of_more_bits_is_what_it_is_in_eight(bits: int, photometric: int) -> None:
    """Detectors have 12 bits, and where photometric is 0, so is white: plates of X-rays."""
    grey = np.arange(256)
    stored = grey * (2**bits - 1) // 255
    if photometric == 0:
        stored = stored[::-1]
    if bits == 12:
        pairs = stored.reshape(-1, 2)
        first, second = pairs[:, 0], pairs[:, 1]
        packed = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
        samples = np.stack(packed, axis=1).astype(np.uint8).tobytes()
    else:
        samples = stored.astype(f"<u{bits // 8}").tobytes()
    image = decode(grey_tiff(samples, bits=bits, photometric=photometric))
    assert image.mode == "L"
    assert np.abs(np.asarray(image).astype(int).ravel() - grey).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_signed_values_are_refused(bits: int) -> None:
    """Those of computed tomography begin at -1,024."""
    samples = (np.arange(256) - 128).astype(f"<i{bits // 8}").tobytes()
    with pytest.raises(UnsupportedImageType, match=r"signed values, .* from 0 for black"):
        decode(grey_tiff(samples, bits=bits, photometric=1, kind=2))


@pytest.mark.parametrize(("kind", "most"), [(np.float32, 1), (np.int32, 255), (np.int32, 2**31)])
def test_values_of_an_unknown_range_are_refused(kind: type[np.generic], most: int) -> None:
    buffer = io.BytesIO()
    values = np.linspace(0, most, 64, endpoint=False).astype(kind).reshape(8, 8)
    Image.fromarray(values).save(buffer, "TIFF")
    with pytest.raises(UnsupportedImageType, match="8 or 16 bits a channel"):
        decode(buffer.getvalue())
