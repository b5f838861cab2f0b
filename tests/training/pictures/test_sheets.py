import io

import numpy as np
import pytest
from PIL import Image

from tests.training import small
from tests.training.scored import calibration
from tests.training.trees import grown, pngs
from training.data.opening import open_data
from training.evaluation.embedding import embed_folder
from training.evaluation.pairs import score_folder
from training.evaluation.protocols.retrieval import search
from training.pictures.examples import answer_sheet, pair_sheet
from training.pictures.sheet import Cell, Section, Tile, draw_sheet, fitted, shortened, to_png

NAMES = [f"c{n}/{image} 図.png" for n in range(3) for image in range(3)]


@pytest.fixture
def embedded(tmp_path):
    return embed_folder(
        small.network("cosine"), open_data(grown(tmp_path, pngs(NAMES))).whole, workers=1
    )


def shows(sheet: Image.Image, colour) -> bool:
    return bool((np.asarray(sheet) == colour).all(axis=-1).any())


def test_a_sheet_holds_every_image_and_grows_with_its_cells():
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10)]
    tiles = [Tile(lambda c=c: Image.new("RGB", (40, 20), c), ("a", "b")) for c in colours]
    cells = (Cell("one", tuple(tiles[:2])), Cell("two", tuple(tiles[2:])))
    sheet = draw_sheet("title", "subtitle", (Section("s", cells),))
    assert sheet.width == 900
    assert all(shows(sheet, colour) for colour in colours)
    assert draw_sheet("t", "s", (Section("s", cells[:1]),)).height < sheet.height
    assert draw_sheet("t", "s", (Section("s", cells, across=2),)).height < sheet.height
    assert draw_sheet("t", "s", (Section("s", ()),)).width == 900


@pytest.mark.parametrize(
    ("size", "expected"), [((10, 20), (50, 100)), ((400, 200), (80, 40)), ((1, 900), (1, 100))]
)
def test_images_keep_their_shape(size, expected):
    assert fitted(Image.new("L", size), 80, 100).size == expected


def test_what_is_too_long_loses_its_middle():
    assert shortened("short", 5, len) == "short"
    assert shortened("a-long-name.png", 9, len) == "a-lo….png"
    assert shortened("two\nlines", 20, len) == "two lines"
    assert shortened("anything", 0, len) == "…"


def test_a_file_stays_below_its_limit():
    noise = np.random.default_rng(0).integers(0, 256, (300, 900, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    assert len(to_png(image)) > 300_000
    for limit in (300_000, 50_000):
        data = to_png(image, at_most=limit)
        assert len(data) <= limit
        Image.open(io.BytesIO(data)).load()


def test_the_worst_pairs_are_shown_and_a_lost_file_is_no_disaster(embedded, tmp_path):
    pairs = score_folder(small.network("cosine"), embedded)
    folder = embedded.folder
    whole = pair_sheet(
        pairs, folder, folder, "m", calibration=calibration(slope=5, threshold=0.5), count=3
    )
    assert whole.width == 900
    for name in NAMES:
        (tmp_path / name).unlink()
    lost = pair_sheet(
        pairs, folder, folder, "m", calibration=calibration(slope=5, threshold=0.5), count=3
    )
    assert lost.size == whole.size
    assert not np.array_equal(np.asarray(lost), np.asarray(whole))


def test_the_worst_answers_of_a_search_are_those_of_a_slow_loop(embedded):
    network = small.network("cosine")
    answers = search(embedded, network).answers
    scores = (embedded.embeddings @ embedded.embeddings.T).double().numpy()
    for place, query in enumerate(answers.query):
        others = [row for row in range(9) if row != query]
        mine = [row for row in others if embedded.labels[row] == embedded.labels[query]]
        rest = [row for row in others if row not in mine]
        assert answers.right[place] == max(mine, key=lambda row: scores[query, row])
        assert answers.wrong[place] == max(rest, key=lambda row: scores[query, row])
    sheet = answer_sheet(answers, embedded.folder, embedded.folder, "m", count=4)
    assert sheet.width == 900
