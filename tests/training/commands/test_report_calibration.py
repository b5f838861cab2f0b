"""What a report says of a calibration, and of figures that it may have seen."""

import pytest

from model_store.store import ModelStore
from tests.training import small
from tests.training.commands.reports import calibrating, filled, made, pictures
from tests.training.trees import grown, png, pngs
from training.calibration import typicality_warnings
from training.cli import main
from training.publishing.card import calibrated_since
from training.publishing.warned import WARNINGS_FILE, Warned


@pytest.fixture
def place(tmp_path):
    return filled(tmp_path)


def test_with_data_everything_is_measured_on_the_classes_of_validation(place):
    names = [f"g{group}/d{n}/{image}.png" for group in "ab" for n in range(6) for image in range(3)]
    others = grown(place / "others", pngs(names))
    assert main(calibrating(place, "rich", others)) == 0
    reader = made(place, "rich", "--data", place / "images", drawn=True)
    shown = " | ".join(pictures(reader))
    for what in ("train classes", "validation classes", "calibration classes", "ROC", "DET"):
        assert what in shown
    for what in ("Histogram", "Reliability", "impostor pairs most alike"):
        assert what in shown
    assert reader.tags.count("image") == 6
    assert "images, validation classes: 6 images of 2 classes" in reader.text
    # Nine impostor pairs tell no rate of 1 in 1,000.
    assert "9 impostor pairs; 3,000 are needed" in reader.text
    assert "2 classes say little about others" in reader.text
    assert "retrieval, measured for this report" in reader.text


@pytest.mark.parametrize("sampled", [(), ("--classes", "all", "--max-images", "12")])
def test_what_calibrate_was_given_is_no_proof_of_the_calibration_whatever_is_taken_of_it(
    place, sampled
):
    assert main(calibrating(place, "rich")) == 0
    reader = made(place, "rich", "--data", place / "images", *sampled)
    assert "the model is calibrated on classes that are among these" in reader.text.casefold()
    assert not any("Reliability" in alt for alt in pictures(reader))


def test_what_was_said_of_a_calibration_goes_when_that_is_replaced(place):
    store = ModelStore(place / "store")
    old = "5 classes say little about others: the true rates may lie outside the intervals"
    few = typicality_warnings(None)[0]
    card = f"# rich\n\n## Calibration\n\n- Note: {old}\n- Note: {few}\n"
    store.revise("rich", 1, files={"card.md": card.encode()})
    assert main(calibrating(place, "rich")) == 0
    text = made(place, "rich").text
    assert "8 classes say little about others" in text
    assert text.count(old) == 1  # On the card, which is of the model as it was.
    assert few.capitalize() in text  # 24 images say as little today.


def test_what_fit_said_of_the_calibration_is_among_the_warnings_until_that_is_replaced(place):
    store = ModelStore(place / "store")
    said = [
        "on the classes that judge it, this model may be guessing: 0.5 is chance",
        "87% of the 30 impostor pairs, which decide the threshold, are of 'a<1>' and '*b*'",
    ]
    notes = "".join(f"- Note: {one}\n" for one in said)
    card = f"# rich\n\n## Calibration\n\n- Threshold 1\n{notes}\n## Recipe\n\n- Note: no\n"
    store.revise("rich", 1, files={"card.md": card.encode()})

    def told():
        """How often each is in the report, where the card stands, too."""
        text = made(place, "rich").text.casefold()
        return [text.count(one.casefold()) for one in (*said, "note: no", "threshold 1")]

    # Only notes of the calibration, and not what else stands there.
    assert told() == [2, 2, 1, 1]
    assert main(calibrating(place, "rich")) == 0
    assert told() == [1, 1, 1, 1]


def test_what_is_warned_of_is_read_from_data_and_not_from_the_card(place):
    store = ModelStore(place / "store")
    warned = Warned(training=("too `few`",), calibration=("guessing\n<b>",), typicality=("none",))
    split = store.find("rich").path / "split.json"
    files = {WARNINGS_FILE: warned.to_json(), "split.json": split.read_bytes()}
    store.save("kept", small.network("cosine"), files=files)
    before = made(place, "kept").text
    for said in ("Too few", r"Guessing\n<b>", "None"):
        assert said in before
    card = b"# kept\n\n## Warnings\n\n- read\n\n## Calibration\n\n- Note: read\n"
    version = store.find("kept").version
    store.revise("kept", version, files={"card.md": calibrated_since(card)})
    after = made(place, "kept").text
    assert "Guessing" in after
    assert "Read" not in after


def test_no_sentence_on_a_card_decides_whether_a_calibration_has_seen_classes(place, capsys):
    store = ModelStore(place / "store")
    assert main(calibrating(place, "rich")) == 0
    rich = store.load("rich")
    calibration = rich.manifest.calibration.model_copy(update={"data_digest": "0" * 64})
    files = {
        "split.json": (rich.path / "split.json").read_bytes(),
        "card.md": (rich.path / "card.md").read_bytes(),
        WARNINGS_FILE: Warned().to_json(),
    }
    assert b"Calibrated anew since" in files["card.md"]
    words = ["evaluate", "kept", "--data", str(place / "images"), "--protocol", "verification"]
    words += ["--store", str(store.root), "--device", "cpu"]
    told = []
    for left_out in (None, "card.md", WARNINGS_FILE):
        kept = {name: content for name, content in files.items() if name != left_out}
        store.save("kept", rich.network, calibration=calibration, files=kept)
        capsys.readouterr()
        assert main(words) == 0
        told.append("calibrated on classes that are among these" in capsys.readouterr().err)
    # What an earlier release calibrated is taken as its card has it.
    assert told == [True, True, False]


def test_a_description_made_anew_leaves_what_is_said_of_the_calibration(place, capsys):
    names = [f"g{group}/d{n}/{image}.png" for group in "ab" for n in range(6) for image in range(4)]
    grown(place / "others", pngs(names))
    store = ModelStore(place / "store")
    assert main(calibrating(place, "rich")) == 0
    said = "87% of the 30 impostor pairs, which decide the threshold, are of 'a1' and 'b2'"
    few = typicality_warnings(None)[0]
    warned = Warned(calibration=(said,), typicality=(few,))
    files = {"card.md": b"# rich\n", WARNINGS_FILE: warned.to_json()}
    store.revise("rich", store.manifest("rich").version, files=files)
    words = ["calibrate", "rich", "--data", str(place / "others"), "--describe-only"]
    assert main([*words, "--store", str(store.root), "--device", "cpu"]) == 0
    text = made(place, "rich").text
    assert "Described anew since" in text
    assert text.count(said) == 1
    assert few not in text.casefold()
    assert "48 calibration images say little" in text
    # And the calibration has still seen the classes that it was made by.
    capsys.readouterr()
    words = ["evaluate", "rich", "--data", str(place / "images"), "--classes", "validation"]
    words += ["--protocol", "verification", "--store", str(store.root), "--device", "cpu"]
    assert main(words) == 0
    assert "calibrated on classes that are among these" in capsys.readouterr().err


def evaluate_on_others(place):
    """Records what the calibration of `rich` does on classes that it has not seen."""
    names = [f"other{label}/{image}.png" for label in range(8) for image in range(3)]
    others = grown(place / "others", pngs(names))
    words = ["evaluate", "rich", "--data", str(others), "--protocol", "verification", "--record"]
    assert main([*words, "--store", str(place / "store"), "--device", "cpu"]) == 0


def test_rates_of_a_replaced_threshold_are_not_called_those_of_the_models_own(place):
    store = ModelStore(place / "store")
    assert main(calibrating(place, "rich")) == 0
    evaluate_on_others(place)
    assert "of impostor pairs, at the model's threshold" in made(place, "rich").text
    manifest = store.manifest("rich")
    drawn = {name: png(1) for name in ("roc.png", "scores.png", "reliability.png")}
    # As versions were revised that kept figures of the calibration before.
    moved = manifest.calibration.model_copy(
        update={"threshold": manifest.calibration.threshold / 2}
    )
    store.save(
        "stale",
        small.network("euclidean"),
        calibration=moved,
        evaluations=manifest.evaluations,
        files=drawn,
    )
    reader = made(place, "stale")
    assert "how well both kinds of pairs part" in reader.text
    assert "at the model's threshold" not in reader.text
    assert "how far probabilities are off" not in reader.text
    assert "a threshold marked here was replaced" in reader.text
    assert [name for name in pictures(reader) if "Reliability" in name] == []
    assert [name for name in pictures(reader) if "ROC" in name] != []


def test_rates_by_another_calibration_are_called_by_its_threshold_and_images(place):
    store = ModelStore(place / "store")
    assert main(calibrating(place, "rich")) == 0
    evaluate_on_others(place)
    manifest = store.manifest("rich")
    (kept,) = manifest.evaluations
    at = {**kept.figures["at_threshold"], "threshold": 1.25, "far": 0.125, "frr": 0.375}
    tested = kept.model_copy(
        update={
            "data": "images, all classes",
            "figures": {**kept.figures, "at_threshold": at},
            "calibrated_by": "half of these classes, and judged on the others",
        }
    )
    store.save(
        "crossed",
        small.network("euclidean"),
        calibration=manifest.calibration,
        evaluations=(tested,),
        files={
            "split.json": (store.find("rich").path / "split.json").read_bytes(),
            "reliability.png": png(),
        },
    )
    told = "the picture is of a calibration by half of these classes, and judged on the others."
    for more in ((), ("--data", place / "images")):
        reader = made(place, "crossed", *more)
        text = reader.text
        drawn = [name for name in pictures(reader) if "Reliability" in name]
        assert told in text
        assert len(drawn) == 1
        assert "at the model's threshold" not in text
        for value, kind in (("12.5 %", "impostor"), ("37.5 %", "genuine")):
            tile = text[text.index(value) :]
            assert f"of {kind} pairs, at the threshold 1.25, chosen on other classes" in tile
        assert (
            "False accepts, false rejects and ECE: on images, all classes, calibrated by half of "
            "these classes, and judged on the others. In small print"
        ) in text
        assert "rates at a threshold: calibrated by half of these classes" in text
    assert "on images, validation classes: 6 images of 2 classes" in text
