"""Files and requests made wrong in many ways, each way from a seed."""

import io
import random

import numpy as np
from PIL import Image

from torture.client import picture

_SPECIAL = (0, 1, 0x7F, 0x80, 0xFF)
_MOST_CHANGES = 8


def originals() -> list[bytes]:
    """A small file of every type that is read, and variants that take other ways in the decoder."""
    values = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((40, 33), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    made: list[tuple[Image.Image, str, dict[str, object]]] = [
        (image, "JPEG", {}),
        (image, "JPEG", {"progressive": True, "exif": exif}),
        (image.convert("CMYK"), "JPEG", {}),
        (image.convert("L"), "JPEG", {}),
        (image, "PNG", {}),
        (image.convert("RGBA"), "PNG", {}),
        (image.convert("P"), "PNG", {"transparency": 3}),
        (Image.fromarray(values[..., 0].astype(np.uint16) * 257), "PNG", {}),
        (image, "WEBP", {}),
        (image.convert("RGBA"), "WEBP", {"lossless": True}),
        (image, "BMP", {}),
        (image.convert("P"), "GIF", {}),
        (image, "TIFF", {}),
        (image, "TIFF", {"compression": "tiff_lzw"}),
        (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (image.convert("1"), "TIFF", {"compression": "group4"}),
        (image, "PPM", {}),
        (image.convert("L"), "PPM", {}),
        (image, "AVIF", {}),
    ]
    files = []
    Image.init()
    for source, kind, options in made:
        if kind not in Image.SAVE:
            continue  # AVIF where Pillow has none.
        buffer = io.BytesIO()
        source.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def mutated(files: list[bytes], seed: int) -> bytes:
    """One of the files, changed in one to eight places; the same for the same seed."""
    draw = random.Random(seed)
    data = bytearray(draw.choice(files))
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        if not data:
            break
        # Headers are where most goes wrong, so half of the changes are there; but few where the
        # type is told, or most files would be passed over as none.
        first, last = draw.choices(((0, 8), (8, 64), (8, len(data))), (0.02, 0.48, 0.5))[0]
        place = min(draw.randrange(first, max(first + 1, last)), len(data) - 1)
        _change(draw, data, place, files)
    return bytes(data)


def _change(draw: random.Random, data: bytearray, place: int, files: list[bytes]) -> None:
    kind = draw.randrange(7)
    length = draw.randint(1, 32)
    if kind == 0:
        data[place] ^= 1 << draw.randrange(8)
    elif kind == 1:
        data[place] = draw.choice(_SPECIAL)
    elif kind == 2:
        data[place : place + 4] = draw.randbytes(4)
    elif kind == 3:
        del data[place : place + length]
    elif kind == 4:
        data[place:place] = data[place : place + length]
    elif kind == 5:
        other = draw.choice(files)
        data[place:] = other[min(place, len(other)) :]
    elif draw.random() < 0.3:
        del data[place:]


def request(files: list[bytes], seed: int) -> bytes:
    """A request with a mutated image in it, and in a third of the cases mutated itself."""
    draw = random.Random(seed)
    image = mutated(files, seed)
    kind = draw.randrange(3)
    if kind == 0:
        path, media = b"/embed", b"image/png"
        body = image
    elif kind == 1:
        path, media = b"/compare", b"multipart/form-data; boundary=x"
        body = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\n%s\r\n'
            % (name, part)
            for name, part in ((b"image_a", image), (b"image_b", picture(1, (32, 32))))
        )
        body += b"--x--\r\n"
    else:
        path, media = b"/compare/many", b"application/json"
        values = [draw.choice(("1", "-0.5", "1e400", "null", "[]", '"AAAA"')) for _ in range(256)]
        row = ",".join(values if draw.random() < 0.5 else ["0.25"] * 256)
        body = f'{{"query":[{row}],"candidates":[[{row}]]}}'.encode()
    if draw.random() < 0.3:
        body = mutated([body], seed + 1)
    return (
        b"POST %b HTTP/1.1\r\nHost: twinlens\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (path, media, len(body), body)
    )
