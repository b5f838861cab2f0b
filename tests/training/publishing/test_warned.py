"""What was warned of, as data; and out of the cards of earlier releases, that left none."""

import pytest

from training.calibration import typicality_warnings
from training.publishing.card import calibrated_since
from training.publishing.warned import WARNINGS_FILE, Warned, read_warned

FEW = typicality_warnings(None)[0]
CARD = f"""# name

## Warnings

- first
- second <b>

## Figures

- no warning

## Calibration

- Threshold 1
- Note: 5 classes say little
- Note: {FEW}

## Recipe

```yaml
## Warnings
- a: <x>
```
"""


def test_what_is_written_is_read_whatever_a_card_says(tmp_path):
    (tmp_path / "card.md").write_text(CARD)
    warned = Warned(training=("a\n- b",), typicality=(FEW, "Ä"))
    (tmp_path / WARNINGS_FILE).write_bytes(warned.to_json())
    assert read_warned(tmp_path) == warned
    (tmp_path / WARNINGS_FILE).write_bytes(b"{}")
    assert read_warned(tmp_path) == Warned()


def test_without_the_file_it_is_what_the_card_of_an_earlier_release_tells(tmp_path):
    assert read_warned(tmp_path) == Warned()
    (tmp_path / "card.md").write_text(CARD)
    training = ("first", "second <b>")
    said = Warned(training=training, calibration=("5 classes say little",), typicality=(FEW,))
    assert read_warned(tmp_path) == said
    (tmp_path / "card.md").write_bytes(calibrated_since(CARD.encode()))
    assert read_warned(tmp_path) == Warned(training=training, typicality=(FEW,))


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"training": "one"}', b"\xff"])
def test_a_damaged_file_is_told_of(tmp_path, content):
    (tmp_path / WARNINGS_FILE).write_bytes(content)
    with pytest.raises(ValueError, match="Warned"):
        read_warned(tmp_path)
