import json
import locale

import pytest

from model_store.network import Side
from tests.training import small
from tests.training.commands.conftest import NAMES
from tests.training.commands.running import run
from tests.training.scored import verification
from tests.training.trees import grown, png, pngs, zipped
from training.cli import main
from training.commands.material import Bench
from training.data.opening import open_data
from training.data.split import SPLIT_FILE, split_classes
from training.evaluation.embedding import embed_folder
from training.evaluation.protocols.one_shot import one_shot
from training.evaluation.protocols.retrieval import retrieval


@pytest.mark.parametrize(
    ("protocol", "keys"),
    [
        (
            "verification",
            {"pairs", "auc", "eer", "accuracy", "frr_at_far", "calibration_error", "impostors"},
        ),
        ("retrieval", {"queries", "recall_at_1", "recall_at_5", "map"}),
        ("one-shot", {"trials", "accuracy", "interval"}),
    ],
)
def test_the_json_has_the_figures_of_the_contract(store, images, tmp_path, capsys, protocol, keys):
    target = tmp_path / "figures.json"
    words = ("evaluate", "plain", "--data", images, "--protocol", protocol, "--json", target)
    assert run(store, *words, "--trials", 100) == 0
    figures = json.loads(target.read_text())
    assert keys <= figures.keys()
    assert (figures["model"], figures["version"]) == ("plain", 1)
    assert figures["protocol"] == protocol
    assert figures["classes_trained_on"] is None, "nothing is recorded of what it was trained on"
    assert figures["calibrated_on"] is (False if protocol == "verification" else None)
    assert figures["data"] == "images, all classes: 36 images of 12 classes in 2 groups"
    assert str(tmp_path) not in target.read_text()
    if protocol == "verification":
        assert figures["frr_at_far"].keys() == {"0.10", "0.05", "0.01"}
        assert figures["genuine_pairs"] == 12 * 3
        assert figures["calibration_error"] is None
    shown = capsys.readouterr().out
    assert all(key.split("_")[0] in shown for key in keys)
    assert "plain version 1" in shown


def test_names_of_what_is_left_out_begin_no_line(store, tmp_path, capsys):
    parts = ("train", "val", "x\nwarning: all is well")
    names = [f"{part}/{name}/{image}.png" for part in parts for name in "ab" for image in "12"]
    data = grown(tmp_path / "data", pngs(names))
    assert run(store, "evaluate", "plain", "--data", data, "--protocol", "retrieval") == 0
    assert r"note: left out of data: x\nwarning: all is well" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("evaluate", "--protocol", "retrieval"), ("calibrate", "--far", 0.1)]
)
def test_the_name_of_the_data_begins_no_line(store, tmp_path, capsys, words):
    name = "x\nall is well"
    data = grown(tmp_path / name, pngs([f"{of}/{image}.png" for of in "ab" for image in "12"]))
    assert run(store, words[0], "plain", "--data", data, *words[1:]) == 0
    assert r"on x\nall is well, all classes" in capsys.readouterr().out


def test_lakes_runs(store, tmp_path, capsys):
    files = {}
    for name in ("test/item", "training/class"):
        files |= {f"run01/{name}{n}.png": png(n) for n in range(4)}
    lines = [f"run01/test/item{n}.png run01/training/class{n}.png" for n in range(4)]
    files["run01/class_labels.txt"] = "\n".join(lines).encode()
    path = zipped(tmp_path / "all_runs.zip", files)
    target = tmp_path / "figures.json"
    words = ("evaluate", "plain", "--data", path, "--protocol", "omniglot-runs", "--json", target)
    assert run(store, *words) == 0
    assert json.loads(target.read_text())["trials"] == 4
    assert json.loads(target.read_text())["accuracy"] == 1
    assert "accuracy_by_run run01" in capsys.readouterr().out


def test_a_gallery_is_searched(store, images, tmp_path):
    target = tmp_path / "figures.json"
    names = [name for name in NAMES if name.endswith(("c0/0.png", "c1/0.png"))]
    gallery = zipped(tmp_path / "gallery.zip", {f"in/{name}": png(1) for name in names})
    words = ("evaluate", "plain", "--data", images, "--protocol", "retrieval")
    assert run(store, *words, "--gallery", gallery, "--json", target) == 0
    figures = json.loads(target.read_text())
    assert (figures["queries"], figures["excluded_queries"], figures["gallery"]) == (12, 24, 4)
    assert not figures["leave_one_out"]
    assert "gallery gallery.zip/in: 4 images" in figures["data"]


def test_two_sides_are_evaluated_as_they_are(store, images, tmp_path):
    """Images on the right are embedded by the right branch, of a gallery as of the same folder."""
    network = small.network("cosine", sides=2)
    store.save("sided", network)
    folder, target = open_data(images).whole, tmp_path / "figures.json"
    left, right = (embed_folder(network, folder, side=side) for side in (Side.LEFT, Side.RIGHT))
    other = grown(tmp_path / "other", {name: png(50 + n) for n, name in enumerate(NAMES)})
    gallery = embed_folder(network, open_data(other).whole, side=Side.RIGHT)
    for protocol, more, expected in (
        ("verification", (), verification(left, network, right=right)),
        ("verification", ("--gallery", other), verification(left, network, right=gallery)),
        ("retrieval", (), retrieval(left, network, gallery=right)),
        ("retrieval", ("--gallery", other), retrieval(left, network, gallery=gallery)),
        ("one-shot", ("--trials", 50), one_shot(left, network, candidates=right, trials=50)),
    ):
        words = ("evaluate", "sided", "--data", images, "--protocol", protocol, "--json", target)
        assert run(store, *words, *more) == 0
        figures, wanted = json.loads(target.read_text()), expected.to_json()
        for name in {"auc", "eer", "map", "recall_at_5", "accuracy"} & wanted.keys():
            assert figures[name] == pytest.approx(wanted[name]), (protocol, more, name)
    assert run(store, "calibrate", "sided", "--data", images, "--far", 0.1) == 0


def test_what_could_not_be_used_is_named(store, images, tmp_path, capsys):
    grown(images, {"ga/c0/broken.png": b"no image", "ga/c0/notes.txt": b"text"})
    target = tmp_path / "figures.json"
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification", "--json", target)
    assert run(store, *words) == 0
    assert [entry["image"] for entry in json.loads(target.read_text())["skipped"]] == [
        "ga/c0/broken.png"
    ]
    told = capsys.readouterr().err
    assert "ga/c0/broken.png: not an image" in told
    assert "not used: 1 file(s) whose names do not end as images' names do" in told


def test_figures_are_recorded_in_a_new_version(store, images):
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification", "--record")
    assert run(store, *words) == 0
    manifest = store.manifest("plain")
    assert manifest.version == 2
    (evaluation,) = manifest.evaluations
    assert evaluation.protocol == "verification"
    assert evaluation.data_digest == open_data(images).whole.digest()
    assert evaluation.figures["genuine_pairs"] == 36


def test_classes_without_a_second_image_are_warned_of(store, tmp_path, capsys):
    many = grown(tmp_path / "many", pngs([f"c{n}/{n % 3}.png" for n in range(5)] + ["c0/1.png"]))
    words = ("evaluate", "plain", "--data", many, "--protocol", "verification")
    assert run(store, *words) == 0
    said = "4 class(es) have no second image to compare with, and so no pair of one class: c1, c2"
    assert said in capsys.readouterr().err
    assert run(store, "calibrate", "plain", "--data", many, "--far", 0.1) == 0
    assert said in capsys.readouterr().err
    assert run(store, "report", "plain", "--data", many, "--out", tmp_path / "r.html") == 0
    assert said in (tmp_path / "r.html").read_text()
    assert store.manifest("plain").calibration.classes == 1


def test_an_alias_names_its_model(store, images, capsys):
    store.set_alias("nickname", "plain")
    words = ("evaluate", "nickname", "--data", images, "--protocol", "retrieval")
    assert run(store, *words) == 0
    assert "plain version 1" in capsys.readouterr().out


def test_a_model_is_not_hidden_by_an_alias_of_its_name(store, images, capsys):
    store.save("nickname", small.network("euclidean"))
    # As a Twinlens that let one hide the other has left it.
    (store.root / "store.json").write_text('{"aliases": {"nickname": "plain"}}')
    words = ("evaluate", "nickname", "--data", images, "--protocol", "retrieval")
    assert run(store, *words) == 0
    assert "nickname version 1" in capsys.readouterr().out


@pytest.fixture
def trained(store, images):
    folder = open_data(images).whole
    split = split_classes(folder, validation=0.25, calibration=0.25, seed=0)
    store.save("trained", small.network("cosine"), files={SPLIT_FILE: split.to_json()})
    return split


def test_classes_trained_on_are_pointed_out(store, images, trained, tmp_path, capsys):
    told = "6 of 12 classes have names that the model was trained on"
    target = tmp_path / "figures.json"
    words = ("evaluate", "trained", "--data", images, "--protocol", "verification")
    assert run(store, *words, "--json", target, "--record") == 0
    assert f"note: {told}; if they are the same, the figures flatter" in capsys.readouterr().err
    # Whoever finds the figures later is to know it, too.
    (recorded,) = store.manifest("trained").evaluations
    assert recorded.data == f"images, all classes: 36 images of 12 classes in 2 groups; {told}"
    found = json.loads(target.read_text())
    assert (found["data"], found["classes_trained_on"]) == (recorded.data, 6)
    assert found["calibrated_on"] is False
    assert run(store, *words, "--json", target, "--classes", "new") == 0
    assert json.loads(target.read_text())["classes_trained_on"] == 0


@pytest.mark.parametrize("choice", ["train", "validation", "calibration"])
def test_classes_are_chosen_by_the_models_split(store, images, trained, tmp_path, choice):
    target = tmp_path / "figures.json"
    words = ("evaluate", "trained", "--data", images, "--protocol", "verification")
    assert run(store, *words, "--classes", choice, "--json", target) == 0
    assert json.loads(target.read_text())["classes"] == len(getattr(trained, choice))


def test_new_classes_are_all_that_were_not_trained_on(store, images, trained, tmp_path, capsys):
    target = tmp_path / "figures.json"
    words = ("evaluate", "trained", "--protocol", "verification", "--classes", "new")
    assert run(store, *words, "--data", images, "--json", target) == 0
    found = json.loads(target.read_text())
    assert found["classes"] == len(trained.validation) + len(trained.calibration)
    known = [name for name in NAMES if name.rsplit("/", 1)[0] in trained.train]
    assert run(store, *words, "--data", grown(tmp_path / "k", {n: png(99) for n in known})) == 1
    assert "all classes of" in capsys.readouterr().err


def test_other_data_than_the_split_was_made_from_is_taken_by_name_and_said(
    store, tmp_path, trained, capsys
):
    other = grown(tmp_path / "other", {name: png(99) for name in NAMES})
    words = ("evaluate", "trained", "--data", other, "--protocol", "verification")
    assert run(store, *words, "--classes", "validation") == 0
    assert "not the data that the model's split was made from" in capsys.readouterr().err


def test_of_other_data_only_the_classes_that_are_there_are_taken(store, tmp_path, trained, capsys):
    some = [name for name in NAMES if name.rsplit("/", 1)[0] in trained.train[:-1]]
    other = grown(tmp_path / "other", {name: png(99) for name in some})
    target = tmp_path / "figures.json"
    words = ("evaluate", "trained", "--data", other, "--protocol", "verification")
    assert run(store, *words, "--classes", "train", "--json", target) == 0
    assert json.loads(target.read_text())["classes"] == len(trained.train) - 1
    assert run(store, *words, "--classes", "validation") == 1
    assert "has none of the" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plain", "--classes", "train"], "no split.json"),
        (["absent"], "models there: plain"),
        (["plain", "--device", "nonsense"], "choose --device auto, cpu or cuda"),
        (["plain", "--device", "meta"], "'meta' is not known here; choose --device auto, cpu or"),
        (["plain", "--device", "cuda:x"], "'cuda:x' is not known here"),
        (["plain", "--data", "nowhere"], "nowhere is not there"),
        (["plain", "--json", "missing/folder/x.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_helps(store, images, capsys, words, message):
    start = ["evaluate", "--protocol", "verification", "--data", str(images)]
    assert main([*start, "--store", str(store.root), "--device", "cpu", *words]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_what_is_left_out_is_told_of_data_that_are_here(store, tmp_path, monkeypatch, capsys):
    names = [
        f"{part}/{name}/{n}.png"
        for part in ("train", "val", "test")
        for name in "ab"
        for n in "123"
    ]
    monkeypatch.chdir(grown(tmp_path / "shop", pngs(names)))
    assert run(store, "evaluate", "plain", "--data", ".", "--protocol", "retrieval") == 0
    told = capsys.readouterr().err
    assert "note: of shop, val/ is used" in told
    assert "note: left out of shop: test" in told


@pytest.mark.parametrize("protocol", ["one-shot", "omniglot-runs"])
def test_a_gallery_where_it_means_nothing_is_refused(store, images, capsys, protocol):
    words = ("evaluate", "plain", "--data", images, "--protocol", protocol, "--gallery", images)
    assert run(store, *words) == 1
    told = capsys.readouterr().err
    assert "leave --gallery out" in told
    assert "embedding" not in told


def test_classes_of_a_split_are_refused_where_the_runs_name_their_own(store, images, capsys):
    words = ("evaluate", "plain", "--data", images, "--protocol", "omniglot-runs")
    assert run(store, *words, "--classes", "validation") == 1
    assert "leave --classes out" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["verification", "retrieval"])
def test_a_gallery_of_other_classes_is_called_that(store, images, tmp_path, capsys, protocol):
    other = grown(tmp_path / "other", pngs(["x/1.png", "y/1.png"]))
    words = ("evaluate", "plain", "--data", images, "--protocol", protocol, "--gallery", other)
    assert run(store, *words) == 1
    assert "classes are matched by the names of their folders" in capsys.readouterr().err


def test_names_of_groups_are_shown_as_they_are(store, tmp_path, capsys):
    groups = ("[bold] letters", "[old] :smile:")
    names = [f"{g}/c{n}/{image}.png" for g in groups for n in range(3) for image in range(2)]
    data = grown(tmp_path / "[red]:key:", pngs(names))
    words = ("evaluate", "plain", "--data", data, "--protocol", "one-shot")
    assert run(store, *words, "--trials", 20, "--ways", 3) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*groups, "[red]:key:"))


def test_the_json_has_names_in_utf_8_whatever_the_locale(store, tmp_path):
    names = [f"Ελληνικά/c{n}/{image}.png" for n in range(3) for image in range(2)]
    data, target = grown(tmp_path, pngs(names)), tmp_path / "figures.json"
    words = ("evaluate", "plain", "--data", data, "--protocol", "one-shot", "--json", target)
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        assert run(store, *words, "--trials", 20, "--ways", 3) == 0
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert "Ελληνικά" in json.loads(target.read_text("utf-8"))["data"]


def test_trials_with_fewer_candidates_than_asked_for_are_noted(store, tmp_path, capsys):
    counts = {"few": 2, "more": 3}
    names = [f"{g}/c{n}/{i}.png" for g, count in counts.items() for n in range(count) for i in "ab"]
    words = ("evaluate", "plain", "--data", grown(tmp_path / "d", pngs(names)))
    assert run(store, *words, "--protocol", "one-shot", "--trials", 20) == 0
    note = "no group has 20 classes with two images; trials have 3 candidates at most"
    assert note in capsys.readouterr().err
    assert run(store, *words, "--protocol", "one-shot", "--trials", 20, "--ways", 3) == 0
    assert "candidates at most" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [("calibrate", "--far", 0.1), ("evaluate", "--record")])
def test_weights_that_came_meanwhile_do_not_get_what_was_measured_of_others(
    store, images, tmp_path, capsys, monkeypatch, words
):
    command, *more = words
    if command == "evaluate":
        more += ["--protocol", "verification", "--pictures", tmp_path / "pictures"]
    embedded = Bench.sides

    def sides(self, *given):
        found = embedded(self, *given)
        store.save("plain", small.network("cosine", seed=5))
        return found

    monkeypatch.setattr(Bench, "sides", sides)
    assert run(store, command, "plain", "--data", images, *more) == 1
    told = capsys.readouterr().err
    assert "'plain' has a version 2 by now" in told
    assert "do it again for version 2" in told
    assert store.versions("plain") == [1, 2]
    if command == "evaluate":
        assert (tmp_path / "pictures" / "roc.png").is_file()


def test_a_json_that_cannot_be_written_is_said_before_anything_is_measured(
    store, images, tmp_path, capsys
):
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification")
    assert run(store, *words, "--json", tmp_path / "absent" / "figures.json") == 1
    said = capsys.readouterr()
    assert "give --json a file in a folder that exists" in said.err
    assert "embedding" not in said.err
    assert not said.out


def test_a_place_for_pictures_or_a_record_that_cannot_be_written_is_said_before_it_too(
    store, images, tmp_path, capsys, monkeypatch
):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("model_store.versions.make_folder", refused)
    (tmp_path / "file").touch()
    words = ("evaluate", "plain", "--data", images, "--protocol", "verification")
    for more, said in (
        (("--pictures", tmp_path / "file"), "give --pictures another folder"),
        (("--record",), "mend the permissions"),
    ):
        assert run(store, *words, *more) == 1
        told = capsys.readouterr().err
        assert said in told
        assert "embedding" not in told


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--minutes", "0"), "'0' is not a number of minutes above 0"),
        (("--minutes", "soon"), "'soon' is not a number of minutes above 0"),
        (("--minutes", "inf"), "'inf' is not a number of minutes above 0"),
        (("--minutes", "1e307"), "minutes above 0, and of 1,000,000,000 at most"),
        (("--save-every", "-1"), "'-1' is not a number of seconds of 0 or more"),
        (("--save-every", "nan"), "'nan' is not a number of seconds of 0 or more"),
    ],
)
def test_times_that_cannot_be_are_explained(images, capsys, words, advice):
    with pytest.raises(SystemExit):
        main(["fit", "--data", str(images), "--name", "x", *words])
    assert advice in capsys.readouterr().err
