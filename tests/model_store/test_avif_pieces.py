"""An AVIF of very many or very large pieces is refused before libavif opens it."""

import struct
from collections.abc import Collection, Iterable

import pytest
from PIL import features

from model_store.avif import UnusualAvif, frames_decoded
from model_store.errors import UndecodableImage
from model_store.images import decode
from tests.model_store.test_avif import SIDE, box, configuration, encoded, file_of, frame, unit

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")

PLAIN = bytes(4)
"""Version 0, no flags."""

FRAME = 6

TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def picture(
    items: dict[int, bytes],
    *more: bytes,
    kinds: dict[int, bytes] | None = None,
    properties: Iterable[bytes] = (),
    having: dict[int, bytes] | None = None,
    again: int = 0,
    after: int = 0,
    wide: Collection[str] = (),
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
        wide: What is written in its wider form: the numbers in `infe`, `iinf`, `ipma` or `iloc`,
            the `indices` of properties, or where an item lies, with a `base` or a `place` number.
    """
    kinds, having = kinds or {}, having or {1: b"\1\2\x83"}
    own = (
        box(b"ispe", PLAIN, struct.pack(">II", SIDE, SIDE)),
        box(b"pixi", PLAIN, b"\3\x08\x08\x08"),
        configuration(),
    )
    infos = [
        box(
            b"infe",
            b"\3\0\0\0" if "infe" in wide else b"\2\0\0\0",
            number(item, wide="infe" in wide),
            struct.pack(">H4sB", 0, kinds.get(item, b"av01"), 0),
        )
        for item in items
    ]
    associations = [
        number(item, wide="ipma" in wide) + bytes([len(numbers)]) + indices(numbers, wide=wide)
        for item, numbers in having.items()
    ]

    def head(at: int) -> bytes:
        meta = (
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", PLAIN, b"\0\1"),
            locations(items, at, again=again, wide=wide),
            box(
                b"iinf",
                bytes(["iinf" in wide, 0, 0, 0]),
                number(len(items), wide="iinf" in wide),
                *infos,
            ),
            box(
                b"iprp",
                box(b"ipco", *own, *properties),
                box(
                    b"ipma",
                    bytes(["ipma" in wide, 0, 0, "indices" in wide]),
                    struct.pack(">I", len(having)),
                    *associations,
                ),
            ),
        )
        return box(b"ftyp", b"avif", PLAIN, b"avifmif1miaf") + box(b"meta", PLAIN, *meta, *more)

    return head(len(head(0)) + 8) + box(b"mdat", *items.values(), bytes(after))


def number(value: int, *, wide: bool) -> bytes:
    return struct.pack(">I" if wide else ">H", value)


def indices(numbers: bytes, *, wide: Collection[str]) -> bytes:
    if "indices" not in wide:
        return numbers
    return b"".join(struct.pack(">BB", each & 128, each & 127) for each in numbers)


def locations(items: dict[int, bytes], at: int, *, again: int, wide: Collection[str]) -> bytes:
    version = 2 if "iloc" in wide else 1 if "place" in wide else 0
    of_base, of_index = (4 if form in wide else 0 for form in ("base", "place"))
    places = b""
    for item, content in items.items():
        extents = [(0 if of_base else at, len(content))]
        extents += [(0, again)] if again and item > 1 else []
        places += number(item, wide=version == 2) + bytes(4 if version else 2)
        places += struct.pack(">I", at) if of_base else b""
        places += struct.pack(">H", len(extents))
        places += b"".join(bytes(of_index) + struct.pack(">II", *each) for each in extents)
        at += len(content)
    sizes = bytes([version, 0, 0, 0, 0x44, of_base << 4 | of_index])
    return box(b"iloc", sizes, number(len(items), wide=version == 2), places)


def references(kind: bytes, start: int, to: Iterable[int], *, wide: bool = False) -> bytes:
    numbers = [number(item, wide=wide) for item in to]
    return box(kind, number(start, wide=wide), struct.pack(">H", len(numbers)), *numbers)


def in_tiles(across: int, *, wide: Collection[str] = ()) -> bytes:
    """A grid of pictures; `wide` is as in `picture`, or `iref`."""
    grid = struct.pack(">BBBBHH", 0, 0, across - 1, across - 1, across * SIDE, across * SIDE)
    items = {1: grid} | dict.fromkeys(range(2, across**2 + 2), frame())
    size = box(b"ispe", PLAIN, struct.pack(">II", across * SIDE, across * SIDE))
    tiles = references(b"dimg", 1, list(items)[1:], wide="iref" in wide)
    return picture(
        items,
        box(b"iref", bytes(["iref" in wide, 0, 0, 0]), tiles),
        kinds={1: b"grid"},
        properties=[size],
        having={1: b"\4\2"} | dict.fromkeys(list(items)[1:], b"\1\2\x83"),
        wide=wide,
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


@pytest.mark.parametrize(
    "wide",
    [
        *(["infe"], ["iinf"], ["ipma"], ["indices"], ["iloc"], ["base"], ["place"], ["iref"]),
        ["infe", "iinf", "ipma", "indices", "iloc", "base", "place", "iref"],
    ],
    ids=" ".join,
)
def test_numbers_of_any_width_are_read(wide: list[str]):
    narrow, data = in_tiles(across=2), in_tiles(across=2, wide=wide)
    assert len(data) > len(narrow)
    assert frames_decoded(data) == frames_decoded(narrow) == [SIDE * SIDE] * 4
    assert decode(data).tobytes() == decode(narrow).tobytes()


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


@pytest.mark.parametrize("wide", [[], ["ipma"], ["indices"]], ids=["narrow", "ipma", "indices"])
def test_properties_copied_very_often_are_refused(wide: list[str]):
    # 200 copies of 8 MB took 2 GB.
    large, profile = (box(kind, bytes(1_000_000)) for kind in (b"abcd", b"colr"))
    having = {1: b"\1\2\x83"} | dict.fromkeys(range(2, 100), b"\x84")
    with pytest.raises(UndecodableImage, match="properties are far longer"):
        decode(picture({1: frame()}, properties=[large], having=having, wide=wide))
    shared = picture({1: frame()}, properties=[profile], having=having, wide=wide)
    assert frames_decoded(shared) == [SIDE * SIDE]
    # 0 is none of them.
    none = having | dict.fromkeys(range(2, 100), b"\0")
    without = picture({1: frame()}, properties=[large], having=none, wide=wide)
    assert frames_decoded(without) == [SIDE * SIDE]


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


def test_fewer_properties_than_declared_are_refused():
    data = picture({1: frame()})
    at = data.index(b"ipma") + 8
    with pytest.raises(UnusualAvif, match="fewer properties than it says"):
        frames_decoded(data[:at] + struct.pack(">I", 2) + data[at + 4 :])


def test_fewer_places_than_declared_are_refused():
    # Beyond the file there are none, of no length.
    places = box(b"iloc", PLAIN, b"\x44\0", struct.pack(">H", 3))
    of_track = box(b"moov", box(b"trak", box(b"meta", PLAIN, places)))
    with pytest.raises(UnusualAvif, match="items are longer than the file"):
        frames_decoded(picture({1: frame()}) + of_track)


def test_frames_count_for_what_reading_them_takes():
    sequence = frame()[: 2 + 2 + frame()[3]]
    key = unit(FRAME, b"\x10" + bytes(7))
    assert frames_decoded(file_of(sequence + key * 10)) == [SIDE * SIDE] * 10
    with pytest.raises(UnusualAvif, match="pieces"):
        frames_decoded(file_of(sequence + key * 20_000))


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


@pytest.mark.parametrize("wide", [False, True], ids=["stco", "co64"])
@pytest.mark.parametrize("fixed", [False, True], ids=["a size each", "one size"])
def test_a_tracks_first_sample_is_found(*, wide: bool, fixed: bool):
    still, sample = picture({1: frame()}), frame(SIDE // 2)
    place = struct.pack(">Q" if wide else ">I", len(still) + 8)
    size = len(sample)
    tables = (
        box(b"stsc", lengths((1, 2))),
        box(b"co64" if wide else b"stco", struct.pack(">II", 0, 1), place),
        box(
            b"stsz",
            struct.pack(">III", 0, size, 2)
            if fixed
            else struct.pack(">IIIII", 0, 0, 2, size, size),
        ),
    )
    track = box(b"stbl", *tables)
    for kind in reversed(TABLES[:-1]):
        track = box(kind, track)
    data = still + box(b"mdat", sample, sample) + track
    assert frames_decoded(data) == [SIDE * SIDE, SIDE * SIDE // 4]


def test_a_table_that_is_there_twice_is_refused():
    # libavif reads the first chunk of the first, which hid a frame of any size.
    animation = encoded(pictures=2)
    stbl, stco = (animation.index(kind) - 4 for kind in (b"stbl", b"stco"))
    table = animation[stco : stco + struct.unpack_from(">I", animation, stco)[0]]
    tables = animation[stbl + 8 : stbl + struct.unpack_from(">I", animation, stbl)[0]]
    with pytest.raises(UndecodableImage, match="there twice"):
        decode(with_tables(animation, TABLES[:-1], stbl=tables + table))
