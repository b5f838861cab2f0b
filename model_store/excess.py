"""What a file may ask of its decoder beside its pixels: decoding cannot be broken off.

A file of a few kilobytes can keep a decoder at work for minutes, however few pixels it declares.
What no camera or program writes, and costs more than its pixels, is refused here.
"""

import io
import re

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from model_store.avif import UnusualAvif, frames_decoded
from model_store.errors import ImageTooLarge, UndecodableImage

JPEG = frozenset({"JPEG", "MPO"})
"""Pillow's names of a JPEG, and of one with more pictures behind it, as many phones write."""

_READS = 1_000_000
"""Of a file, by Pillow. It reads metadata in Python, piece by piece, at up to 2 µs a read."""

_COSTLY_PIECES = 100
"""Of a JPEG's EXIF, which Pillow copies anew for each (200,000 in a file of 4 MB took 15 s), and of
a PNG's compressed texts and profiles, each of which takes a millisecond to become a megabyte."""

_SCANS = 16
"""Of as many pixels as are allowed; cameras and programs make 1 to 12. One of 92 bytes took 80 ms
for 62 megapixels."""

_AROUND = 64
"""Pixels at the edges that a scan takes time for besides; they stand for its tables as well."""

_COMMENTS = 10_000
"""In a PGM or PPM of plain text. Pillow copies up to a megabyte for each, twice."""

_BYTES_READ_AGAIN = 64 * 1024**2
"""Of a TIFF, whose strips or tiles may lie in one another: 20,000 in 100 kB took 3 s."""

_STRIPS = 262_144
"""Or tiles, of a TIFF. Each that is not compressed takes 7 µs beside its pixels."""

_RUN_LENGTH_PIXELS = 10_000_000
"""Of a BMP whose rows are run-length encoded. Pillow fills them pixel by pixel, in Python: 64
megapixels in a file of 5 kB took 13 s."""

_FRAMES = 8
"""Of as many pixels as are allowed, in an AVIF: a picture and its alpha, which an animation has in
two places, and as much again. They take 7 ms a megapixel."""

_FRAME = 10_000
"""Pixels that a frame takes time for besides its own."""

_AVIF_BRANDS = frozenset({b"avif", b"avis", b"mif1", b"msf1"})
"""Of the files that Pillow gives to libavif."""

_COMPRESSED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_BEGINS = np.uint16(0xDAFF)
"""The marker, as a little-endian number."""

_LEAST_IN_SCAN = 11
"""Bytes."""

_START_OF_SCAN, _END_OF_IMAGE, _RESTART_OR_START = 0xDA, 0xD9, range(0xD0, 0xD9)
_FIRST_WITH_LENGTH = 0xC0
_TIFF_BYTE_COUNTS = (0x0145, 0x0117)
"""The tags for the bytes of each tile and of each strip."""


class Source(io.BytesIO):
    """A file in memory, of which Pillow reads no more pieces than it should take."""

    _reads = _costly = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file.

        Raises:
            UndecodableImage: It was read too often.
        """
        piece = super().read(size)
        self._reads += 1
        # A segment of a JPEG, or the head of a PNG's chunk.
        if piece.startswith(b"Exif\0\0") or (len(piece) == 8 and piece[4:] in _COMPRESSED):
            self._costly += 1
        if self._reads > _READS or self._costly > _COSTLY_PIECES:
            raise UndecodableImage(
                "the file consists of so many pieces that reading it would take long "
                f"({self._reads:,}, with {self._costly} of EXIF or compressed text); save the "
                "image again, without metadata"
            )
        return piece


def refuse_avif(data: bytes, max_pixels: int) -> None:
    """Refuses an AVIF that takes far longer than its pixels do, to open or to decode.

    Args:
        data: The file; of another type it passes.
        max_pixels: As many are allowed.

    Raises:
        ImageTooLarge: Its frames are larger than it says.
        UndecodableImage: It would.
    """
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS:
        _refuse_frames(data, max_pixels)


def refuse_pixels(image: ImageFile, data: bytes, max_pixels: int) -> None:
    """Refuses an image whose pixels would take far longer than as many do elsewhere.

    Args:
        image: As it was opened; nothing of it is decoded yet.
        data: The file it is in.
        max_pixels: As many are allowed.

    Raises:
        UndecodableImage: They would.
    """
    if isinstance(image, TiffImageFile):
        _refuse_strips(image, data)
    elif image.format in JPEG:
        _refuse_scans(image, data, max_pixels)
    elif decoder(image) == "ppm_plain" and data.count(b"#") > _COMMENTS:
        raise UndecodableImage(
            f"the image is plain text with more than {_COMMENTS:,} comments; save it without them, "
            "or in the binary form"
        )
    elif decoder(image) == "bmp_rle" and image.width * image.height > _RUN_LENGTH_PIXELS:
        raise UndecodableImage(
            f"the BMP is run-length encoded and declares {image.width * image.height:,} pixels, "
            f"over the limit of {_RUN_LENGTH_PIXELS:,} for these; save it uncompressed, or as PNG"
        )


def decoder(image: ImageFile) -> str:
    """Pillow's name of what decodes an image that was opened."""
    return str(image.tile[0][0]) if image.tile else ""


def _refuse_scans(image: ImageFile, data: bytes, max_pixels: int) -> None:
    pixels = (image.width + _AROUND) * (image.height + _AROUND)
    most = max(_SCANS, _SCANS * max_pixels // pixels)
    # Exactly only where a quick count says that it may matter: videos and other pictures behind the
    # image have the same bytes, too.
    if (
        len(data) > most * _LEAST_IN_SCAN
        and _scans_at_most(data) > most
        and _scans(data, most) > most
    ):
        raise UndecodableImage(
            f"the JPEG has more than {most:,} scans; save it again, baseline or as an ordinary "
            "progressive one"
        )


def _scans_at_most(data: bytes) -> int:
    # By far quicker than `bytes.count`, which took a tenth of what decoding a photo does.
    words = (np.frombuffer(data, "<u2", (len(data) - odd) // 2, odd) for odd in (0, 1))
    return sum(int(np.count_nonzero(word == _SCAN_BEGINS)) for word in words)


def _scans(data: bytes, most: int) -> int:
    """Scans of a JPEG that libjpeg would decode; beyond `most` they are not counted any more.

    A marker is taken for what libjpeg takes it for, which in the midst of a scan skips those that
    do not exist.
    """
    scans, at = 0, 0
    while scans <= most and (found := _MARKER.search(data, at)):
        at = found.end()
        marker = data[at - 1]
        if marker == _END_OF_IMAGE:
            break
        if marker >= _FIRST_WITH_LENGTH and marker not in _RESTART_OR_START:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        scans += marker == _START_OF_SCAN
    return scans


def _refuse_frames(data: bytes, max_pixels: int) -> None:
    try:
        frames = frames_decoded(data)
    except UnusualAvif as error:
        raise UndecodableImage(
            f"the AVIF is not as programs write it ({error}); save the image again"
        ) from None
    if max(frames, default=0) > max_pixels:
        raise ImageTooLarge(
            f"the AVIF has a frame of {max(frames):,} pixels, over the limit of {max_pixels:,}; "
            "send a smaller image"
        )
    if len(frames) > _FRAMES and sum(frames) + len(frames) * _FRAME > _FRAMES * max_pixels:
        raise UndecodableImage(
            f"the AVIF has {len(frames):,} frames for one picture; save that by itself"
        )


def _refuse_strips(image: TiffImageFile, data: bytes) -> None:
    if len(image.tile) > _STRIPS:
        raise UndecodableImage(
            f"the TIFF is in {len(image.tile):,} strips or tiles, over the limit of {_STRIPS:,}; "
            "save it again, with larger ones"
        )
    for tag in _TIFF_BYTE_COUNTS:
        counts = image.tag_v2.get(tag, ())
        declared = sum(counts) if isinstance(counts, tuple) else 0
        if declared > len(data) + _BYTES_READ_AGAIN:
            raise UndecodableImage(
                f"the TIFF's strips or tiles overlap: they declare {declared:,} bytes together, "
                f"and the file has {len(data):,}; save it again"
            )
