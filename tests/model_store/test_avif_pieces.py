"""An AVIF of very many or very large pieces is refused before libavif opens it."""

import struct
from collections.abc import Iterable

import pytest
from PIL import features

from model_store.avif import UnusualAvif, frames_decoded
from model_store.errors import UndecodableImage
from model_store.images import decode
from tests.model_store.test_avif import SIDE, box, configuration, encoded, file_of, frame, unit

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")

PLAIN = bytes(4)
"""Version 0, no flags."""

TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def picture(
    items: dict[int, bytes],
    *more: bytes,
    kinds: dict[int, bytes] | None = None,
    properties: Iterable[bytes] = (),
    having: dict[int, bytes] | None = None,
    again: int = 0,
    after: int = 0,
) -> bytes:
    """A picture whose items lie one after another; the first is the one that is shown.

    Args:
        items: The content of each.
        more: Boxes of its `meta`.
        kinds: Of items that are not coded pictures.
        properties: Beside a size, the depth and the codec's configuration.
        having: The properties of each item: 128 and the number where it is essential.
        again: Bytes of the file that each item but the first has besides, in a second place.
        after: Bytes that no item has.
    """
    kinds, having = kinds or {}, having or {1: b"\1\2\x83"}
    own = (
        box(b"ispe", PLAIN, struct.pack(">II", SIDE, SIDE)),
        box(b"pixi", PLAIN, b"\3\x08\x08\x08"),
        configuration(),
    )
    infos = [
        box(b"infe", b"\2\0\0\0", struct.pack(">HH4sB", item, 0, kinds.get(item, b"av01"), 0))
        for item in items
    ]
    associations = [
        struct.pack(">HB", item, len(numbers)) + numbers for item, numbers in having.items()
    ]

    def head(at: int) -> bytes:
        places = b""
        for item, content in items.items():
            second = struct.pack(">II", 0, again) if again and item > 1 else b""
            places += struct.pack(">HHH", item, 0, 2 if second else 1)
            places += struct.pack(">II", at, len(content)) + second
            at += len(content)
        meta = (
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", PLAIN, b"\0\1"),
            box(b"iloc", PLAIN, b"\x44\0", struct.pack(">H", len(items)), places),
            box(b"iinf", PLAIN, struct.pack(">H", len(items)), *infos),
            box(
                b"iprp",
                box(b"ipco", *own, *properties),
                box(b"ipma", PLAIN, struct.pack(">I", len(having)), *associations),
            ),
        )
        return box(b"ftyp", b"avif", PLAIN, b"avifmif1miaf") + box(b"meta", PLAIN, *meta, *more)

    return head(len(head(0)) + 8) + box(b"mdat", *items.values(), bytes(after))


def references(kind: bytes, start: int, to: Iterable[int]) -> bytes:
    numbers = [struct.pack(">H", item) for item in to]
    return box(kind, struct.pack(">HH", start, len(numbers)), *numbers)


def in_tiles(across: int) -> bytes:
    grid = struct.pack(">BBBBHH", 0, 0, across - 1, across - 1, across * SIDE, across * SIDE)
    items = {1: grid} | dict.fromkeys(range(2, across**2 + 2), frame())
    size = box(b"ispe", PLAIN, struct.pack(">II", across * SIDE, across * SIDE))
    return picture(
        items,
        box(b"iref", PLAIN, references(b"dimg", 1, list(items)[1:])),
        kinds={1: b"grid"},
        properties=[size],
        having={1: b"\4\2"} | dict.fromkeys(list(items)[1:], b"\1\2\x83"),
    )


def with_tables(data: bytes, path: tuple[bytes, ...] = TABLES, **other: bytes) -> bytes:
    """An animation with other tables of samples."""
    made, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + size]
        if path and kind == path[0]:
            content = with_tables(content, path[1:], **other)
        elif not path:
            content = other.get(kind.decode(), content)
        made += box(kind, content)
        at += size
    return made


def lengths(*entries: tuple[int, int]) -> bytes:
    return struct.pack(">II", 0, len(entries)) + b"".join(
        struct.pack(">III", first, samples, 1) for first, samples in entries
    )


def test_a_picture_in_tiles_is_read():
    assert frames_decoded(in_tiles(across=32)) == [SIDE * SIDE] * 1024
    assert decode(in_tiles(across=5)).size == (5 * SIDE, 5 * SIDE)


def test_places_of_no_length_are_empty():
    # As libavif has it: they were taken for all that follows, 16 MB each.
    data = picture({1: frame()} | dict.fromkeys(range(2, 3000), b""), after=1_000_000)
    assert frames_decoded(data) == [SIDE * SIDE]
    assert decode(data).size == (SIDE, SIDE)


@pytest.mark.parametrize("kind", [b"av01", b"Exif"])
def test_items_that_lie_in_one_another_are_bounded(kind: bytes):
    # 240 of 15 MB of EXIF, each of which libavif copies, took 2 s.
    def many(items: int) -> bytes:
        more = range(2, 2 + items)
        return picture(
            {1: frame()} | dict.fromkeys(more, b""),
            kinds=dict.fromkeys(more, kind),
            again=900_000,
            after=1_000_000,
        )

    assert frames_decoded(many(10)) == [SIDE * SIDE]
    with pytest.raises(UndecodableImage, match="far longer than the file"):
        decode(many(100))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([references(b"dimg", 1, range(2, 20_000))], "named more than 10,000 times"),
        ([references(b"thmb", 1, ())] * 20_000, "named more than 10,000 times"),
        ([box(b"dimg", struct.pack(">HHHH", 1, 1, 2, 3))], "reference at byte"),
    ],
)
def test_items_named_very_often_are_refused(more: list[bytes], message: str):
    # libavif looks for each among all: 20,000 took 6 s.
    boxes = box(b"iref", PLAIN, *more)
    with pytest.raises(UndecodableImage, match=message):
        decode(picture({1: frame()}, boxes))
    of_track = box(b"moov", box(b"trak", box(b"meta", PLAIN, boxes)))
    with pytest.raises(UndecodableImage, match=message):
        decode(picture({1: frame()}) + of_track)


def test_items_themselves_are_counted():
    data = picture({1: frame()} | dict.fromkeys(range(2, 6000), b""))
    with pytest.raises(UndecodableImage, match="named more than"):
        decode(data)


def test_properties_copied_very_often_are_refused():
    # 200 copies of 8 MB took 2 GB.
    large, profile = (box(kind, bytes(1_000_000)) for kind in (b"abcd", b"colr"))
    having = {1: b"\1\2\x83"} | dict.fromkeys(range(2, 100), b"\4")
    with pytest.raises(UndecodableImage, match="properties are far longer"):
        decode(picture({1: frame()}, properties=[large], having=having))
    shared = picture({1: frame()}, properties=[profile], having=having)
    assert frames_decoded(shared) == [SIDE * SIDE]


@pytest.mark.parametrize("many", ["properties", "associations", "groups", "descriptions"])
def test_very_many_small_pieces_are_refused(many: str):
    data = {
        "properties": lambda: picture({1: frame()}, properties=[box(b"abcd")] * 60_000),
        "associations": lambda: picture(
            {1: frame()}, having=dict.fromkeys(range(1, 300), b"\1" * 255)
        ),
        "groups": lambda: picture({1: frame()}, box(b"grpl", bytes(300_000))),
        "descriptions": lambda: with_tables(
            encoded(pictures=2),
            stsd=bytes(8) + box(b"av01", bytes(78), box(b"abcd") * 60_000),
        ),
    }[many]()
    with pytest.raises(UndecodableImage, match="pieces"):
        decode(data)


def test_headers_of_sequences_count_for_what_reading_them_takes():
    headers = b"".join(unit(1, struct.pack(">I", number)) for number in range(2000))
    with pytest.raises(UnusualAvif, match="pieces"):
        frames_decoded(file_of(headers))


def test_tables_of_samples_are_bounded():
    animation = encoded(pictures=2)
    assert with_tables(animation) == animation
    chunks = struct.pack(">II", 0, 4000) + bytes(4 * 4000)
    searched = lengths((1, 1), *((1_000_000 + more, 1) for more in range(4000)))
    # Each chunk is looked for among the lengths: 10,000 in 10,000 took 2 s.
    with pytest.raises(UndecodableImage, match="4,000 chunks of samples have 4,001 lengths"):
        decode(with_tables(animation, stco=chunks, stsc=searched))
    with pytest.raises(UndecodableImage, match="300,000 samples"):
        # Each track: 2,000 chunks of 50 and as many of 100.
        decode(with_tables(animation, stco=chunks, stsc=lengths((1, 50), (2001, 100))))


def test_a_table_that_is_there_twice_is_refused():
    # libavif reads the first chunk of the first, which hid a frame of any size.
    animation = encoded(pictures=2)
    stbl, stco = (animation.index(kind) - 4 for kind in (b"stbl", b"stco"))
    table = animation[stco : stco + struct.unpack_from(">I", animation, stco)[0]]
    tables = animation[stbl + 8 : stbl + struct.unpack_from(">I", animation, stbl)[0]]
    with pytest.raises(UndecodableImage, match="there twice"):
        decode(with_tables(animation, TABLES[:-1], stbl=tables + table))
