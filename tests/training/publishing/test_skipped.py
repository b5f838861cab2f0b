from training.data.sources import Skipped
from training.publishing.skipped import SKIPPED_FILE, skipped_csv, told
from training.report.beside import read_beside


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
    assert content == b'"image","reason"\n"a/1.png","cut short, or damaged"\n"b/2.png","odd"\n'


def test_names_that_break_lines_can_be_read_again(tmp_path):
    skipped = [Skipped("a/bad\r1.png", "odd"), Skipped("a/b\r\nc\nd.png", 'so "called"')]
    (tmp_path / SKIPPED_FILE).write_bytes(skipped_csv(skipped))
    found = read_beside(tmp_path, {})
    assert found.problems == ()
    assert found.skipped == tuple((entry.key, entry.reason) for entry in skipped)


def test_what_an_earlier_version_wrote_of_such_a_name_is_said_to_be_unreadable(tmp_path):
    (tmp_path / SKIPPED_FILE).write_bytes(b"image,reason\na/bad\r1.png,odd\n")
    found = read_beside(tmp_path, {})
    assert found.skipped == ()
    assert "skipped.csv beside the checkpoint cannot be read" in found.problems[0]
