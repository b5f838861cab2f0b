"""From bytes to a decoded, upright image. Training and serving both call this code."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from model_store.errors import ImageError, ImageTooLarge, UndecodableImage, UnsupportedImageType
from model_store.excess import JPEG, Source, decoder, refuse_avif, refuse_pixels
from model_store.preprocessing import Preprocessing, UInt8Image, prepare

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
"""The image types that are read, by Pillow's names; PPM stands for PGM, PBM and PPM."""

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".pgm", ".ppm", ".pbm", ".pnm", ".avif"}
)
"""File name endings of those types, for telling images from other files in a folder."""

DEFAULT_MAX_PIXELS = 64_000_000
"""Pixels an image may declare unless the caller says otherwise: 64 megapixels."""

_LEAST_ACROSS = 16
"""Of an image of as many pixels as are allowed. A row costs memory and time beside its pixels': one
row of 64 megapixels that has to be turned took 36 bytes a pixel and 20 s; sixteen take 12 and 3."""

_NEVER_TOO_LONG = 65_535
"""What a side may always have: a JPEG's have no more."""

_TIFF_TILE = (0x0142, 0x0143)
"""The tags for the width and the length of tiles."""

_TIFF_BITS = 0x0102
"""The tag for the bits of each channel."""

_TIFF_PHOTOMETRIC = 0x0106
"""The tag for whether white is 0, the default, or black."""

_TIFF_SAMPLE_FORMAT = 0x0153
"""The tag for what numbers the samples of each channel are; 2 stands for signed ones."""

_PART = 1 << 20
"""Samples that are scaled at a time."""

_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))
_GREY_16_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_KEY = "transparency"
_WIDENED = {"L;2": 255 // 3, "L;4": 255 // 15}
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

# Pillow warns of odd metadata in images that decode well, and of large ones, of which the limit
# here decides; nobody would read it. Once for the process, and not around each image: what
# `warnings.catch_warnings` puts back at its end is another thread's, where several decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(
    source: bytes | Path,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    spec: Preprocessing | None = None,
) -> Image.Image:
    """Decodes the first frame of an image, upright, in mode `RGB` or `L`.

    EXIF orientation is applied; transparency is laid on white; grey of 12 or 16 bits is scaled to
    8; CMYK, palettes and the rest become RGB.

    Args:
        source: The image's bytes, or the path of a file that holds them.
        max_pixels: An image whose header declares more is refused before a pixel is decoded; so are
            a TIFF of larger tiles, an AVIF of larger frames, and an image with a side of more than
            a sixteenth of it, if that is more than 65,535.
        spec: Where the image is bound for. A JPEG is then decoded at the smallest scale (8ths)
            that still covers what `prepare` needs.

    Raises:
        UnsupportedImageType: Not an image, or of a type outside `FORMATS`.
        ImageTooLarge: More than `max_pixels` allows.
        UndecodableImage: Damaged or cut short, or made so that decoding it would take far longer
            than its pixels do.
    """
    try:
        return _to_rgb_or_grey(_upright(source, max_pixels, spec))
    except UnidentifiedImageError:
        raise UnsupportedImageType(
            "not an image of a type that is read; send JPEG, PNG, WebP, BMP, GIF, TIFF, PGM/PPM "
            "or AVIF"
        ) from None
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{error}; send a smaller image") from None
    except Exception as error:
        # Pillow's decoders raise many kinds of errors on damaged bytes (OSError, SyntaxError,
        # ValueError, struct.error, IndexError, …), and all mean the same to the caller.
        raise UndecodableImage(
            f"the image is damaged or cut short and cannot be decoded ({error}); "
            "send the complete file"
        ) from error


def decode_prepared(
    source: bytes | Path, spec: Preprocessing, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> UInt8Image:
    """From bytes to the network's size in one call: `decode`, then `prepare`.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ImageError: As `decode`.
    """
    return prepare(decode(source, max_pixels=max_pixels, spec=spec), spec)


def _upright(source: bytes | Path, max_pixels: int, spec: Preprocessing | None) -> Image.Image:
    """Decodes an image into a copy: what was opened goes, and its decoder's memory with it."""
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        # Pillow's own limit, one for the process, would refuse what is allowed here. It is only
        # ever raised, so that it does not matter in which order threads do it.
        Image.MAX_IMAGE_PIXELS = max_pixels
    data = source if isinstance(source, bytes) else source.read_bytes()
    # Before it is opened: libavif then already reads all but the pixels.
    refuse_avif(data, max_pixels)
    with Image.open(Source(data), formats=FORMATS) as image:
        _refuse_larger(image, max_pixels)
        _refuse_unknown_range(image)
        refuse_pixels(image, data, max_pixels)
        if decoder(image) == "ppm":
            return _of_any_range(image, data)
        if image.format == "PNG" and image.mode == "L" and _KEY in image.info:
            # Pillow widens grey of 2 and 4 bits to 8, but not the key.
            image.info[_KEY] *= _WIDENED.get(str(image.tile[0].args), 1)
        if image.format not in JPEG:
            # A PNG's EXIF may come after its pixels, and a TIFF turns itself while it is loaded.
            image.load()
        turn = _turn(image)
        if spec is not None and image.format in JPEG and image.mode in ("RGB", "L"):
            width, height = image.size
            on_its_side = turn in _ON_ITS_SIDE
            upright = (height, width) if on_its_side else (width, height)
            size = spec.decode_size(*upright)
            image.draft(image.mode, size[::-1] if on_its_side else size)
        image.load()
        decoded = _in_16_bits(image) if isinstance(image, TiffImageFile) else image
        return decoded.copy() if turn is None else decoded.transpose(turn)


def _in_16_bits(image: TiffImageFile) -> Image.Image:
    """A grey TIFF of 12 or 16 bits, from 0 for black to 65,535 for white.

    Pillow does that for fewer bits, and leaves these as they are stored.
    """
    bits, photometric = image.tag_v2.get(_TIFF_BITS), image.tag_v2.get(_TIFF_PHOTOMETRIC, 0)
    if image.mode not in _GREY_16_BIT or (bits == (16,) and photometric != 0):
        return image
    values = np.asarray(image)
    if bits == (12,):
        values = (values << 4) | (values >> 8)
    return Image.fromarray(~values if photometric == 0 else values)


def _of_any_range(image: ImageFile, data: bytes) -> Image.Image:
    """A binary PGM or PPM whose samples end at another value than 255 or 65,535.

    As Pillow has it, value for value; but that goes through them one by one, in Python: 16 MB took
    18 s.
    """
    tile = image.tile[0]
    most = int((tile.args or ("", 255))[1])
    kind, top = (np.dtype(np.int32), 65_535) if image.mode == "I" else (np.dtype(np.uint8), 255)
    count = image.width * image.height * len(image.getbands())
    samples = np.frombuffer(data, "u1" if most < 256 else ">u2", count, tile.offset)
    scaled = np.minimum(np.round(np.arange(65_536) / most * top), top).astype(kind)
    values = np.empty(count, kind)
    # In parts: to be looked up by, samples become 8 bytes each.
    for part in range(0, count, _PART):
        values[part : part + _PART] = scaled[samples[part : part + _PART]]
    return Image.frombytes(image.mode, image.size, values.tobytes())


def _refuse_larger(image: Image.Image, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ImageTooLarge(
            f"the image declares {image.width}x{image.height} = {pixels:,} pixels, over the limit "
            f"of {max_pixels:,}; send a smaller one"
        )
    longest = max(_NEVER_TOO_LONG, max_pixels // _LEAST_ACROSS)
    if max(image.size) > longest:
        raise ImageTooLarge(
            f"the image declares {image.width}x{image.height} pixels, and no side may have more "
            f"than {longest:,}; send a smaller one"
        )
    if isinstance(image, TiffImageFile):
        # However small the image, a tile is decoded whole.
        across, down = (image.tag_v2.get(tag, 0) for tag in _TIFF_TILE)
        if not (isinstance(across, int) and isinstance(down, int)):
            raise TypeError("the sides of its tiles are no whole numbers")
        if across * down > max_pixels:
            raise ImageTooLarge(
                f"the image declares tiles of {across}x{down} = {across * down:,} pixels, over the "
                f"limit of {max_pixels:,}; send one with smaller tiles"
            )


def _refuse_unknown_range(image: Image.Image) -> None:
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode == "F":
        kind = "floating-point"
    elif image.mode == "I" and 32 in tags.get(_TIFF_BITS, ()):
        kind = "32-bit"
    elif 2 in tags.get(_TIFF_SAMPLE_FORMAT, ()):
        kind = "signed"
    else:
        return
    raise UnsupportedImageType(
        f"the image has {kind} values, whose range nothing says; save it with 8 or 16 bits a "
        "channel, from 0 for black to the most for white"
    )


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings an image upright by its EXIF; metadata that cannot be read say nothing.

    Not by Pillow's `exif_transpose`: that writes all tags anew, and fails where one is odd.
    """
    try:
        return _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 (of as many kinds as a decoder's, and the pixels are sound)
        return None


def _to_rgb_or_grey(image: Image.Image) -> Image.Image:
    if image.mode in _GREY_16_BIT or image.mode == "I":
        # Pillow's own conversion clips at 255; "I" comes from 16-bit PNG, PGM and TIFF.
        grey = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        if (key := image.info.get(_KEY)) is not None:
            grey.paste("white", mask=Image.fromarray(np.asarray(image) == key))
        return grey
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("RGB", "L"):
        return _key_on_white(image)
    if image.mode in _ALPHA_MODES or _KEY in image.info:
        if image.mode not in ("RGBA", "LA"):
            image = image.convert("RGBA")
        # As `Image.alpha_composite` does it, value for value, in a third of its memory.
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("RGB")


def _key_on_white(image: Image.Image) -> Image.Image:
    """Makes the colour white that a PNG or GIF without an alpha channel declares transparent."""
    key = image.info.pop(_KEY, None)
    if key is None:
        return image
    colour = key if image.mode == "RGB" else (key,)
    # Of 16 bits a channel Pillow keeps the upper 8, but all of the key.
    shift = 8 if max(colour) > 255 else 0
    mask = None
    for channel, value in enumerate(colour):
        same = image.getchannel(channel).point([255 * (v == value >> shift) for v in range(256)])
        mask = same if mask is None else ImageChops.darker(mask, same)
    image.paste("white", mask=mask)
    return image
