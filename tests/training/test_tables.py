"""Tables of plain text."""

from training.tables import table


def test_cells_are_shown_as_they_are():
    cells = [r"a\[red]b", "[/]", ":key:"]
    shown = table("Title", ["one", "two", "three"], [cells])
    assert shown.splitlines()[0] == "Title"
    assert shown.splitlines()[-1].split() == cells
