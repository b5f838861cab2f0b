"""Nothing that is text can become markup."""

import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.report.html import (
    Html,
    bullets,
    compact,
    data_address,
    element,
    escaped,
    paragraph,
    table,
)


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def read(markup: Html) -> Reader:
    reader = Reader()
    reader.feed(markup.text)
    reader.close()
    return reader


@given(st.text())
def test_any_text_stays_text_inside_an_element_and_an_attribute(text):
    reader = read(element("p", text, title=text))
    assert reader.tags == ["p"]
    assert [name for name, _ in reader.attributes] == ["title"]
    reader.text.encode()


def test_text_comes_out_as_it_went_in():
    name = "<script>alert(\"1\")</script> & 'x' ü 字"
    reader = read(paragraph(name))
    assert (reader.tags, reader.text) == (["p"], name)


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\udc80", "\u202e", "\u2066"])
def test_letters_that_no_page_may_hold_are_replaced(letter):
    assert escaped(f"a{letter}b") == "a�b"


def test_attributes_that_are_none_are_left_out_and_names_get_hyphens():
    assert element("i", "x", class_=None, aria_label="y").text == '<i aria-label="y">x</i>'


def test_void_elements_are_not_closed():
    assert element("img", src="x").text == '<img src="x">'


def test_tables_and_lists_escape_their_cells():
    reader = read(table(("a", "b"), [("<b>", "1"), (Html("<i>x</i>"), "2")]))
    assert reader.tags.count("tr") == 3
    assert "b" not in reader.tags
    assert "i" in reader.tags
    assert read(bullets(["<b>"])).tags == ["ul", "li"]


def test_a_column_without_a_heading_has_none_that_is_empty():
    tags = read(table(("", "b"), [("1", "2")])).tags
    assert (tags.count("th"), tags.count("td")) == (1, 3)


def test_small_pictures_are_png_and_large_ones_jpeg():
    assert data_address(compact(Image.new("RGB", (9, 9)))).startswith("data:image/png;base64,")
    noise = Image.effect_noise((900, 900), 80).convert("RGB")
    large = compact(noise)
    assert data_address(large).startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(large)).size == (900, 900)
