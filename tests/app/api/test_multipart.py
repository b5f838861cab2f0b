"""Where the parts of a multipart body begin and end, against a slow and obvious way to tell."""

import gc
import itertools
import re
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.form import Form
from app.api.limits import Limits
from app.api.multipart import MultipartReader
from app.api.problem import BadRequest, UnsupportedBody

LIMITS = Limits(body_bytes=1 << 20, part_bytes=1 << 20, parts=9, whole=frozenset())
NAMED = b'Content-Disposition: form-data; name="a"; filename="x"'
PART = b"--edge\r\n" + NAMED + b"\r\n\r\n"

# What a boundary's line is made of, so that nearly every content has one that is nearly one.
_FRAGMENTS = [b"\r\n--edge", b"\r\n", b"\r", b"\n", b"-", b"--", b"edge", b" ", b"\t", b"x"]
contents = st.lists(st.sampled_from(_FRAGMENTS), max_size=12).map(b"".join)


def read(body: bytes, cuts: list[int], boundary: bytes = b"edge") -> dict[str, list[object]]:
    """The fields of a body that comes in pieces."""
    form = Form(LIMITS)
    reader = MultipartReader(boundary, form)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        reader.feed(body[start:end])
    if not reader.ended:
        raise BadRequest("not ended")
    return form.fields


def slowly(body: bytes) -> list[bytes]:
    """The contents of parts that have all the same name."""
    left = b"\r\n" + body
    start = 0
    found: list[bytes] = []
    for number in itertools.count():
        line = re.search(rb"\r\n--edge(--|[ \t]*\r\n)", left)
        if line is None:
            raise BadRequest("not ended")
        if number:
            # Where there is no content, the end of the headers is the start of the boundary.
            found.append(left[start : line.start()])
        if line[1] == b"--":
            break
        headers, end, content = left[line.end() :].partition(b"\r\n\r\n")
        if headers != NAMED or not end:
            raise BadRequest("headers")
        left, start = b"\r\n" + content, 2
    return found


@given(contents, contents, contents, st.lists(st.integers(0), max_size=20))
def test_parts_are_those_that_a_split_at_the_boundaries_gives(
    before: bytes, first: bytes, second: bytes, cuts: list[int]
) -> None:
    body = before + b"\r\n" + PART + first + b"\r\n" + PART + second + b"\r\n--edge--\r\nafter"
    try:
        wanted = slowly(body)
    except BadRequest:
        with pytest.raises(BadRequest):
            read(body, cuts)
    else:
        assert read(body, cuts).get("a", []) == wanted


@given(st.binary(max_size=300), st.lists(st.integers(0), max_size=20))
def test_any_bytes_are_read_alike_at_once_and_in_pieces(body: bytes, cuts: list[int]) -> None:
    outcomes = []
    for where in ([], cuts, range(len(body))):
        try:
            outcomes.append(read(PART + body + b"\r\n--edge--", list(where)))
        except BadRequest as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize(
    "headers",
    [
        b"content-disposition:form-data;name=a",
        b'Content-Type: image/png\r\nCONTENT-DISPOSITION: \t form-data; filename="\\";"; name="a"',
        b"X-Empty:\r\n" + NAMED,
        b"X-Many: a\r\n" * 31 + NAMED,
        # A file's name of 255 characters, in every way that clients write it, and one of signs.
        b"%b; filename*=UTF-8''%b" % (NAMED.replace(b"x", b"%E4%BD%A0" * 255), b"%E4%BD%A0" * 255),
        NAMED.replace(b"x", b"; " * 60),
        NAMED.replace(b"; ", b";\r\n ") + b"\r\nX-Long: a\r\n\tb\r\n c",
    ],
)
def test_headers_may_be_written_in_more_ways_than_one(headers: bytes) -> None:
    body = b"--edge\r\n" + headers + b"\r\n\r\ncontent\r\n--edge--"
    for cuts in ([], list(range(len(body)))):
        assert read(body, cuts) == {"a": [b"content"]}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (b"no colon", "that is none"),
        (b"a b: c", "that is none"),
        (b": c", "that is none"),
        (NAMED + b"\n\nX: y", "that is none"),
        (b" " + NAMED, "that is none"),
        (b"X-Long: " + b"a" * 8200, "over 8,192 bytes"),
        (b"Content-Type: image/png", "no name"),
        (b"X-Many: a\r\n" * 32 + NAMED, "more than 32 headers"),
        (NAMED + b";" * 63, "more than 64 semicolons"),
    ],
)
def test_headers_that_are_none(headers: bytes, message: str) -> None:
    body = b"--edge\r\n" + headers + b"\r\n\r\ncontent\r\n--edge--"
    for cuts in ([], list(range(0, len(body), 7))):
        with pytest.raises(BadRequest, match=message):
            read(body, cuts)


@pytest.mark.parametrize("encoding", [b"base64", b"Quoted-Printable", b"x" * 8000])
def test_a_part_that_is_encoded_is_refused_by_its_header(encoding: bytes) -> None:
    header = b"\r\nContent-Transfer-Encoding: "
    with pytest.raises(UnsupportedBody, match=r"Encoding '[a-zA-Z0-9-]{6,100}' is not read here"):
        read(PART.replace(b"\r\n\r\n", header + encoding + b"\r\n\r\n") + b"x\r\n--edge--", [])
    for plain in (b"binary", b"8bit ", b"7BIT", b""):
        body = PART.replace(b"\r\n\r\n", header + plain + b"\r\n\r\n") + b"x\r\n--edge--"
        assert read(body, []) == {"a": [b"x"]}


def test_files_that_share_a_part_are_refused_by_its_header() -> None:
    """As curl sends `-F candidates=@one.jpg,two.jpg`."""
    kind = b"\r\nContent-Type: Multipart/mixed; boundary=inner"
    with pytest.raises(UnsupportedBody, match="a part of its own"):
        read(PART.replace(b"\r\n\r\n", kind + b"\r\n\r\n") + b"x\r\n--edge--", [])


def test_thousands_of_blanks_in_a_header_are_looked_at_once() -> None:
    started = time.process_time()
    with pytest.raises(BadRequest, match="that is none"):
        read(b"--edge\r\nX:" + b" " * 8000 + b"\n\r\n\r\n", [])
    # Each with all that follow it, they took a second.
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        (b"--edge--", [b""]),
        (PART + b"x\r\n--edge--", [b"", b"x"]),
        (PART + PART + b"\r\n--edge--", [b"", b"", b""]),
        (b"--edges\r\n--edge--", [b"--edges"]),
        (b"--edge-\r\n--edge--", [b"--edge-"]),
    ],
)
def test_a_part_may_end_with_its_headers(rest: bytes, found: list[bytes]) -> None:
    for cuts in ([], list(range(len(PART + rest)))):
        assert read(PART + rest, cuts) == {"a": found}


def test_a_part_without_headers_has_no_name() -> None:
    with pytest.raises(BadRequest, match="no name"):
        read(b"--edge\r\n\r\ncontent\r\n--edge--", [])


def test_a_form_may_have_no_parts() -> None:
    assert read(b"--edge--", [3]) == {}


def test_a_boundary_over_the_limit_is_refused() -> None:
    longest = b"x" * 256
    body = PART.replace(b"edge", longest) + b"content\r\n--" + longest + b"--"
    assert read(body, [40], longest) == {"a": [b"content"]}
    with pytest.raises(BadRequest, match="over 256 bytes"):
        MultipartReader(b"x" * 257, Form(LIMITS))


def test_a_reader_is_gone_with_its_last_user_and_waits_for_no_garbage_collector() -> None:
    reader = MultipartReader(b"edge", Form(LIMITS))
    reader.feed(PART + b"content")
    gone = weakref.ref(reader)
    gc.disable()
    try:
        del reader
        assert gone() is None
    finally:
        gc.enable()
