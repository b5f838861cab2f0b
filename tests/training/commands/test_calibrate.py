"""`python -m training calibrate`, and what becomes of figures that were there."""

import json
import os

import numpy as np
import pytest

from tests.training import small
from tests.training.commands.running import run
from tests.training.trees import grown, png, pngs
from training.data.opening import open_data
from training.data.split import SPLIT_FILE, split_classes
from training.publishing.calibrated import CALIBRATED_FILE, is_calibrated_since
from training.publishing.warned import WARNINGS_FILE, Warned, read_warned


def test_a_store_that_cannot_be_written_is_said_before_anything_is_embedded(
    store, images, capsys, monkeypatch
):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("model_store.versions.make_folder", refused)
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 1
    told = capsys.readouterr().err
    assert "mend the permissions" in told
    assert "embedding" not in told


def test_what_would_do_nothing_is_refused_before_anything_is_embedded(
    store, images, tmp_path, capsys
):
    few = grown(tmp_path / "few", pngs([f"{name}/{image}.png" for name in "ab" for image in "12"]))
    for data, words, said in (
        (images, ("--describe-only",), "'plain' is not calibrated yet"),
        (few, ("--far", 0.1, "--any-pixels"), "fewer than 40 images"),
    ):
        assert run(store, "calibrate", "plain", "--data", data, *words) == 1
        told = capsys.readouterr().err
        assert said in told
        assert "embedding" not in told


def test_calibrate_writes_a_version_that_decides(store, images, capsys):
    words = ("calibrate", "plain", "--data", images, "--far", 0.05, "--prior", 0.2)
    assert run(store, *words) == 0
    told = capsys.readouterr()
    assert "not calibrated" in told.out
    assert "12 classes say little" in told.err
    assert "across groups" in told.err
    manifest = store.manifest("plain")
    assert manifest.version == 2
    assert manifest.calibration.target_far == 0.05
    assert manifest.calibration.prior == 0.2
    assert manifest.calibration.data_digest == open_data(images).whole.digest()
    first, second = store.load("plain", 1).network, store.load("plain", 2).network
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(one.numpy(), two.numpy())


def test_a_small_rate_is_told_in_three_digits(store, images, capsys):
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.005) == 0
    assert store.manifest("plain").calibration.far == 2 / 594
    assert "0.00337 (" in capsys.readouterr().out


def test_too_few_images_to_describe_by_keep_the_old_description_and_say_so(
    store, images, tmp_path, capsys
):
    names = [f"c{n}/{image}.png" for n in range(12) for image in range(4)]
    many = grown(tmp_path / "many", pngs(names))
    assert run(store, "calibrate", "plain", "--data", many, "--far", 0.1) == 0
    described = store.manifest("plain").typicality
    assert described.images == 48
    capsys.readouterr()
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 0
    told = capsys.readouterr().err
    assert "fewer than 40 images" in told
    assert "what version 2 says of its own kind of images is kept" in told
    assert "described by 48 others, many, all classes: 48 images" in told
    assert store.manifest("plain").typicality == described
    # And what is asked of a description is not left undone in silence.
    for words in (
        ("--far", 0.1, "--out-of-distribution", 0.02),
        ("--far", 0.1, "--any-pixels"),
        ("--describe-only",),
        ("--describe-only", "--out-of-distribution", 0.1),
    ):
        assert run(store, "calibrate", "plain", "--data", images, *words) == 1
        told = capsys.readouterr().err
        assert "fewer than 40 images" in told
        assert all(word in told for word in words if str(word).startswith("--") and word != "--far")
    assert store.manifest("plain").version == 3


def test_a_gallery_is_of_the_kind_of_a_model_of_one_branch(store, tmp_path):
    names = [f"c{n}/{image}.png" for n in range(12) for image in range(4)]
    photos = grown(tmp_path / "photos", pngs(names))
    shop = grown(tmp_path / "shop", pngs(f"c{n}/front.png" for n in range(12)))
    words = ("calibrate", "plain", "--data", photos, "--gallery", shop, "--far", 0.1)
    assert run(store, *words) == 0
    assert store.manifest("plain").typicality.images == 48 + 12


def test_a_gallery_describes_where_images_alone_are_too_few(store, tmp_path):
    photos = grown(tmp_path / "photos", pngs([f"c{n}/{image}.png" for n in "12" for image in "12"]))
    shop = grown(tmp_path / "shop", pngs(f"c{n}/{view}.png" for n in range(12) for view in "123"))
    words = ("calibrate", "plain", "--data", photos, "--gallery", shop)
    assert run(store, *words, "--far", 0.1, "--any-pixels") == 0
    assert run(store, *words, "--describe-only") == 0
    assert store.manifest("plain").typicality.images == 4 + 36


def test_images_of_one_class_calibrate_against_a_gallery_and_describe_nothing(
    store, tmp_path, capsys
):
    one = grown(tmp_path / "one", pngs([f"a/{image}.png" for image in range(40)]))
    gallery = grown(tmp_path / "gallery", pngs([f"{name}/1.png" for name in "ab"]))
    store.save("two", small.network("cosine", sides=2))
    words = ("calibrate", "two", "--data", one, "--gallery", gallery, "--far", 0.1)
    assert run(store, *words) == 0
    assert "images of one class" in capsys.readouterr().err
    assert store.manifest("plain").typicality is None
    assert run(store, *words, "--any-pixels") == 1
    assert "a single class" in capsys.readouterr().err


def test_what_only_describes_is_not_said_to_calibrate(store, tmp_path, capsys):
    names = [f"c{n}/{image}.png" for n in range(12) for image in range(4)]
    for seed, place in enumerate(("first", "second")):
        grown(tmp_path / place, {name: png(100 * seed + n) for n, name in enumerate(names)})
    assert run(store, "calibrate", "plain", "--data", tmp_path / "first", "--far", 0.1) == 0
    before = store.manifest("plain")
    assert "calibrated on first" in capsys.readouterr().out
    words = ("calibrate", "plain", "--data", tmp_path / "second", "--describe-only")
    assert run(store, *words) == 0
    told = capsys.readouterr().out
    assert "calibrated on" not in told
    assert "described by second, all classes: 48 images" in told
    assert "threshold and probabilities stay as they were, by first, all classes: 48 images" in told
    after = store.manifest("plain")
    assert after.typicality.data.startswith("second")
    assert after.calibration.judges_as(before.calibration)


def test_evaluating_on_the_calibrations_own_images_is_pointed_out(store, images, tmp_path, capsys):
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.05) == 0
    target = tmp_path / "figures.json"
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification", "--json", target)
    assert run(store, *words) == 0
    assert "calibrated on classes that are among these" in capsys.readouterr().err
    figures = json.loads(target.read_text())
    assert figures["calibrated_on"] is True
    assert figures["calibration_error"] >= 0
    assert figures["at_threshold"]["far"] == store.manifest("plain").calibration.far


def test_figures_of_a_calibration_on_its_own_images_are_not_recorded(store, images, capsys):
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.05) == 0
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification", "--record")
    assert run(store, *words) == 0
    assert "are not recorded" in capsys.readouterr().err
    (recorded,) = store.manifest("plain").evaluations
    assert (recorded.figures["at_threshold"], recorded.figures["calibration_error"]) == (None, None)
    assert recorded.figures["auc"] > 0


def test_figures_of_a_replaced_calibration_are_dropped_and_the_card_says_so(
    store, images, tmp_path
):
    others = grown(tmp_path / "others", pngs([f"n{n}/{i}.png" for n in range(4) for i in range(3)]))
    store.save("carded", small.network("cosine"), files={"card.md": b"# carded\n\n## Figures\n"})
    recording = ("evaluate", "carded", "--data", others, "--protocol", "verification", "--record")
    for far in (0.05, 0.3):
        assert run(store, "calibrate", "carded", "--data", images, "--far", far) == 0
        assert run(store, *recording) == 0
    old, new = (evaluation.figures for evaluation in store.manifest("carded").evaluations)
    assert (old["at_threshold"], old["calibration_error"]) == (None, None)
    assert old["auc"] == new["auc"]
    assert new["at_threshold"]["threshold"] == store.manifest("carded").calibration.threshold
    title, _, note, _, *rest = (store.find("carded").path / "card.md").read_text().split("\n")
    assert (title, rest) == ("# carded", ["## Figures", ""])
    assert note.startswith("Calibrated anew since")


def test_what_is_warned_of_is_kept_as_data(store, images, tmp_path, capsys):
    names = [f"n{n}/{image}.png" for n in range(12) for image in range(4)]
    others = grown(tmp_path / "others", pngs([*names, "alone/1.png"]))
    fits = Warned(training=("too dark",), calibration=("guessing",), typicality=("unknown",))
    store.save("plain", small.network("cosine"), files={WARNINGS_FILE: fits.to_json()})
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 0
    told = capsys.readouterr().err
    few = read_warned(store.find("plain").path)
    assert few.training == fits.training
    assert "12 classes say little" in few.calibration[-1]
    assert few.typicality[0].startswith("fewer than 40 images")
    assert all(f"warning: {said}\n" in told for said in (*few.calibration, *few.typicality))
    # A description leaves what is said of the calibration.
    assert run(store, "calibrate", "plain", "--data", others, "--describe-only") == 0
    described = read_warned(store.find("plain").path)
    assert (described.training, described.calibration) == (few.training, few.calibration)
    assert described.typicality[0].startswith("49 calibration images say little")
    # And what is kept of a description stays known.
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 0
    assert read_warned(store.find("plain").path).typicality == described.typicality
    # A class without a pair is of the calibration by it.
    assert run(store, "calibrate", "plain", "--data", others, "--far", 0.1) == 0
    assert "no second image" in read_warned(store.find("plain").path).calibration[0]
    (store.find("plain").path / WARNINGS_FILE).write_bytes(b"spoilt")
    capsys.readouterr()
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 1
    told = capsys.readouterr().err
    assert "take it away" in told
    assert "embedding" not in told


def test_classes_trained_on_are_kept_in_mind(store, tmp_path, capsys):
    """The likeliest mistake: a model calibrated on what it was trained on, told of as if not."""
    names = [f"c{n}/{image}.png" for n in range(12) for image in range(4)]
    many = grown(tmp_path / "many", pngs(names))
    split = split_classes(open_data(many).whole, validation=0.25, calibration=0.25, seed=0)
    store.save("trained", small.network("cosine"), files={SPLIT_FILE: split.to_json()})
    words = ("calibrate", "trained", "--data", many, "--far", 0.1)
    assert run(store, *words) == 0
    told = "6 of 12 classes have names that the model was trained on"
    # Once: when it is done, nobody need be told again.
    assert capsys.readouterr().err.count(told) == 1
    manifest = store.manifest("trained")
    data = f"many, all classes: 48 images of 12 classes; {told}"
    assert (manifest.calibration.data, manifest.typicality.data) == (data, data)
    warned = read_warned(store.find("trained").path).calibration
    assert warned[0].startswith(f"{told}; if they are the same, threshold and probabilities")
    assert run(store, *words, "--classes", "new") == 0
    assert "trained on" not in store.manifest("trained").calibration.data
    assert "trained on" not in " ".join(read_warned(store.find("trained").path).calibration)
    # A description leaves what is said of the calibration.
    assert run(store, *words[:-2], "--describe-only") == 0
    assert "trained on" not in " ".join(read_warned(store.find("trained").path).calibration)
    assert told in store.manifest("trained").typicality.data


def test_what_only_a_card_tells_of_a_calibration_is_still_told_after_a_description(store, tmp_path):
    names = [f"c{n}/{image}.png" for n in range(12) for image in range(4)]
    many = grown(tmp_path / "many", pngs(names))
    card = b"# plain\n\n## Warnings\n\n- too dark\n"
    store.save("plain", small.network("cosine"), files={"card.md": card})
    assert run(store, "calibrate", "plain", "--data", many, "--far", 0.1) == 0
    now = store.find("plain").path
    assert read_warned(now).training == ("too dark",)
    # As earlier releases calibrated, before there was either file.
    (now / WARNINGS_FILE).unlink()
    (now / CALIBRATED_FILE).unlink()
    assert run(store, "calibrate", "plain", "--data", many, "--describe-only") == 0
    described = store.find("plain").path
    assert is_calibrated_since(described)
    assert read_warned(described) == Warned(training=("too dark",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs mkfifo")
def test_nobody_waits_for_a_pipe_beside_the_model(store, images, capsys):
    folder = store.save("plain", small.network("cosine")).path
    for name in (WARNINGS_FILE, SPLIT_FILE):
        os.mkfifo(folder / name)
        assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 1
        assert f"{folder / name} cannot be read" in capsys.readouterr().err
        (folder / name).unlink()
    os.mkfifo(folder / "card.md")
    assert run(store, "calibrate", "plain", "--data", images, "--far", 0.1) == 0


@pytest.mark.parametrize("far", ["0", "1", "-1", "five", "1e-310"])
def test_a_far_that_is_no_share_is_refused(store, images, capsys, far):
    with pytest.raises(SystemExit) as exit_:
        run(store, "calibrate", "plain", "--data", images, f"--far={far}")
    assert exit_.value.code == 2
    assert "from 1e-09 to below 1" in capsys.readouterr().err
