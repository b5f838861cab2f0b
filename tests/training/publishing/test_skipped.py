from training.data.sources import Skipped
from training.publishing.skipped import skipped_csv, told


def test_the_summary_counts_by_kind():
    damaged = [Skipped(f"a/{n}.png", f"the image is damaged (at {n}); send it") for n in range(22)]
    large = [
        Skipped("b/1.png", "the image declares 9x9 = 81 pixels, over the limit of 64,000"),
        Skipped("b/2.png", "the image declares 10x900 = 9,000 pixels, over the limit of 64,000"),
    ]
    lines = told([*large, *damaged])
    assert lines[0].startswith("24 not used")
    assert lines[1] == "  22 × the image is damaged"
    assert lines[2] == "    a/0.png: the image is damaged (at 0); send it"
    assert lines[22] == "    … and 2 more"
    assert lines[23] == "  2 × the image declares … pixels"
    assert len(lines) == 26
    assert told([]) == ()


def test_the_file_has_all_of_it():
    content = skipped_csv([Skipped("a/1.png", "cut short, or damaged"), Skipped("b/2.png", "odd")])
    assert content == b'image,reason\na/1.png,"cut short, or damaged"\nb/2.png,odd\n'
