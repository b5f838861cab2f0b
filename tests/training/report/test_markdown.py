"""Cards as HTML."""

from tests.training.report.test_html import read
from training.report.markdown import inline, to_html

CARD = """# name

A `b<c` sentence.

![Loss](curves.png)

## Warnings

- first
- second <b>

## Figures

| Figure | Value |
|---|---|
| auc | 0.9 |
| long | 1 | 2 |

```yaml
- a: <x>
# no heading
```
"""


def test_all_that_a_card_holds():
    reader = read(to_html(CARD))
    for tag, count in {"h3": 1, "h4": 2, "ul": 1, "li": 2, "tr": 3, "pre": 1, "p": 1}.items():
        assert reader.tags.count(tag) == count, tag
    assert not {"b", "x", "img", "h5"} & set(reader.tags)
    assert "- a: <x>\n# no heading" in reader.text
    assert "b<c" in reader.text
    # Browsers differ in whether a keyboard can scroll what nothing inside can take the focus of.
    assert ("tabindex", "0") in reader.attributes


def test_a_table_without_a_row_is_the_text_it_is():
    assert read(to_html("text\n|---|\n|:-:|")).text == "text|---||:-:|"
    shown = read(to_html("|---|---|\n| a | b |\n| `c` |"))
    assert [shown.tags.count(tag) for tag in ("th", "td", "code")] == [2, 2, 1]
    assert shown.text == "abc"


def test_a_cell_may_hold_what_ends_cells():
    shown = read(to_html("| Figure | Value | |\n|---|---|---|\n| a\\|b | 1 |  |\n| c\\| | 2"))
    assert [shown.tags.count(tag) for tag in ("th", "td")] == [2, 7]
    assert shown.text == "FigureValuea|b1c|2"


def test_an_unclosed_quote_or_fence_is_no_error():
    assert inline("a ` b").text == "a ` b"
    assert read(to_html("```\ncode")).text == "code"
    assert to_html("").text == ""
