"""Parts of a folder, put together and thinned out."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from model_store.network import Side
from tests.training.trees import grown, pngs, whole
from training.data.parts import (
    Parts,
    Unusable,
    check_same_data,
    make_parts,
    make_split,
    open_sources,
    together,
)
from training.data.sources import Skipped
from training.data.split import SplitShares
from training.errors import DataError, TrainingError
from training.run.folder import RunRecord


@pytest.fixture
def folder(tmp_path):
    return whole(grown(tmp_path, pngs(f"c{c}/{i}.png" for c in range(6) for i in range(3))))


def test_parts_of_a_folder_together_are_the_folder(folder):
    ones = folder.subset([1, 3, 5]), folder.subset([4]), folder.subset([0, 2])
    assert together(*ones) == folder
    assert together(None, ones[1], None) == ones[1]
    assert together(None) is None


def test_without_images_that_cannot_be_used(folder):
    parts = Parts(folder.subset(range(3)), folder.subset([3]), folder.subset([4, 5]))
    bad, *of_c4 = (Skipped(key, "why") for key in ("c0/1.png", "c4/0.png", "c4/1.png", "c4/2.png"))
    rest = parts.without(Unusable(train=(bad,), calibration=tuple(of_c4)))
    assert [item.key for item in rest.train.items][:2] == ["c0/0.png", "c0/2.png"]
    assert [entry.name for entry in rest.calibration.classes] == ["c5"], "a class is gone"
    assert rest.validation == parts.validation
    assert set(rest.skipped) == {bad, *of_c4}
    assert parts.without(Unusable()) is parts


def test_an_image_set_aside_stays_though_one_of_its_key_to_train_on_cannot_be_used(tmp_path):
    names = [f"{part}/c{c}/{i}.png" for part in ("train", "val") for c in range(4) for i in "ab"]
    sources = open_sources(grown(tmp_path, pngs(names)), None)
    parts = make_parts(sources, make_split(sources, SplitShares(), seed=0))
    bad = tuple(Skipped(f"c{c}/a.png", "why") for c in range(4))
    rest = parts.without(Unusable(train=bad))
    assert len(rest.train.items) == 4
    assert (rest.validation, rest.calibration) == (parts.validation, parts.calibration)
    # As a run that began before was told it: of all parts.
    record = {"command": "", "recipe": "", "unusable": [{"key": "c0/a.png", "reason": "why"}]}
    earlier = RunRecord.model_validate_json(json.dumps(record))
    assert earlier == RunRecord.model_validate_json(earlier.model_dump_json())
    rest = parts.without(earlier.unusable)
    assert len(rest.train.items) == 7
    assert len(rest.validation.items) + len(rest.calibration.items) == 7


def test_what_was_passed_over_in_the_folder_is_told_once_beside_what_cannot_be_used(tmp_path):
    folder = whole(grown(tmp_path, pngs(["c0/1.png", "c0/2.png", "c1/1.png", "loose.png"])))
    parts = Parts(folder.subset([0]), folder.subset([1]), None)
    assert [entry.key for entry in parts.skipped] == ["loose.png"]
    rest = parts.without(Unusable(train=(Skipped("c0/2.png", "why"),)))
    assert [entry.key for entry in rest.skipped] == ["loose.png", "c0/2.png"]


def test_a_part_without_any_image_is_refused(folder):
    parts = Parts(folder.subset(range(3)), folder.subset([3]), None)
    bad = tuple(Skipped(f"c3/{number}.png", "broken") for number in range(3))
    with pytest.raises(DataError, match=r"not one image can be decoded \(c3/0\.png: broken\)"):
        parts.without(Unusable(validation=bad))


def test_classes_to_train_on_of_which_one_is_left_are_refused_by_the_names_of_the_others(folder):
    parts = Parts(folder.subset(range(3)), folder.subset([3]), None)
    of_class = [tuple(Skipped(f"c{c}/{i}.png", f"broken{i}") for i in range(3)) for c in range(4)]
    rest = parts.without(Unusable((*of_class[0], *of_class[1][:2]), of_class[3][:2]))
    assert names(rest.train) == ["c1", "c2"]
    with pytest.raises(DataError, match=r"2 of the 3 classes .*: c0, c2 \(c0/0\.png: broken0\)"):
        parts.without(Unusable((*of_class[2], *of_class[0], *of_class[1][:1])))
    alone = Parts(folder.subset([0]), None, None)
    assert len(alone.without(Unusable(of_class[0][:1])).train.items) == 2, "of one from the start"


def names(folder) -> list[str]:
    return [entry.name for entry in folder.classes]


class TestLearnt:
    def test_all_that_trains_or_validates_is_learnt_from(self, folder):
        parts = Parts(folder.subset([1, 4]), folder.subset([0, 2]), folder.subset([3]))
        assert names(parts.learnt) == ["c0", "c1", "c2", "c4"]
        assert names(Parts(folder.subset([1, 4]), None, None).learnt) == ["c1", "c4"]


class TestSources:
    @pytest.fixture
    def data(self, tmp_path):
        return grown(tmp_path / "data", pngs(f"c{c:02}/{i}.png" for c in range(20) for i in "ab"))

    @pytest.fixture
    def holdout(self, tmp_path):
        return grown(tmp_path / "kept", pngs(f"k{c}/{i}.png" for c in range(6) for i in "ab"))

    def test_what_is_not_used_is_told_of_both(self, tmp_path, data, holdout):
        (data / "notes.txt").write_text("x")
        (holdout / "list.csv").write_text("x")
        (holdout / "empty").mkdir()
        told = " ".join(open_sources(data, holdout).not_used())
        assert "2 file(s)" in told
        assert "1 .txt" in told
        assert "1 .csv" in told
        assert "empty: an empty class" in told

    def test_folders_beside_a_validation_part_are_told(self, tmp_path, holdout):
        inside = ["train/a/1.png", "train/b/1.png", "spare\nparts/c/1.png"]
        data = grown(tmp_path / "parted", pngs([*inside, "val/c/1.png"]))
        sources = open_sources(data, None)
        assert (names(sources.train), names(sources.holdout)) == (["a", "b"], ["c"])
        assert list(sources.not_used()) == [r"not used: spare\nparts"]
        inside_it = re.escape(str(data / "train"))
        with pytest.raises(DataError, match=f"brings its own .* part; give --data {inside_it} "):
            open_sources(data, holdout)
        (data / "train").rename(data / "training")
        with pytest.raises(DataError, match=f"brings its own .* part; give --data {inside_it}ing "):
            open_sources(data, holdout)
        data = grown(tmp_path / "whole", pngs(inside))
        kept = grown(tmp_path / "other", pngs(["train/k/1.png", "more/k/1.png"]))
        assert open_sources(data, kept).left_out == ("spare\nparts", "more")

    def test_files_that_are_no_images_are_counted_once_where_data_come_parted(self, tmp_path):
        inside = pngs(["train/a/1.png", "train/b/1.png", "val/c/1.png"])
        data = grown(tmp_path / "parted", {**inside, "train/a/2.heic": b"x", "val/c/3.heic": b"x"})
        sources = open_sources(data, None)
        (told,) = sources.not_used()
        assert "not used: 2 file(s)" in told
        assert sources.judging.other_files == {".heic": 2}, "for who looks at that part alone"
        beside = grown(tmp_path / "beside", {**pngs(["a/1.png", "c/1.png"]), "c/2.txt": b"x"})
        assert open_sources(data, None, beside).other_files == {".heic": 2, ".txt": 1}
        data = grown(tmp_path / "whole", pngs(["a/1.png", "b/1.png"]))
        assert open_sources(data, beside).other_files == {".txt": 1}

    def test_what_a_holdout_and_a_right_side_leave_alone_is_told(self, tmp_path, data):
        kept = grown(tmp_path / "kept", pngs(["train/k/1.png", "val/l/1.png", "more/k/1.png"]))
        assert open_sources(data, kept).left_out == ("more", "kept/train")
        beside = pngs(["train/c00/1.png", "val/c00/2.png", "spare/c00/3.png"])
        right = grown(tmp_path / "right", beside)
        assert open_sources(data, None, right).left_out == ("right/spare", "right/val")

    def test_where_both_sides_are_parted_the_parts_that_validate_are_joined(self, tmp_path):
        for side in ("left", "right"):
            inside = [f"{part}/{name}/{part}.png" for part in ("train", "val") for name in "ab"]
            grown(tmp_path / side, pngs(inside))
        found = open_sources(tmp_path / "left", None, tmp_path / "right")
        for part, folder in (("train", found.train), ("val", found.holdout)):
            keys = [f"{side}/{name}/{part}.png" for side in ("left", "right") for name in "ab"]
            assert [item.key for item in folder.items] == keys
        assert found.left_out == ()

    def test_of_a_holdout_that_comes_parted_the_validation_part_is_held_out(self, tmp_path, data):
        kept = grown(tmp_path / "kept", pngs(["train/k/1.png", "val/l/1.png", "val/m/1.png"]))
        assert names(open_sources(data, kept).holdout) == ["l", "m"]

    def test_sides_share_a_class_whose_name_is_decomposed_on_one_of_them(self, tmp_path):
        for side, form in (("left", "NFC"), ("right", "NFD")):
            names = [unicodedata.normalize(form, name) for name in ("Crème", "Käse", "Brot")]
            grown(tmp_path / side, pngs(f"{name}/1.png" for name in names))
        joined = open_sources(tmp_path / "left", None, tmp_path / "right").train
        assert len(joined.classes) == 3
        assert not joined.skipped
        of = [{joined.classes[item.label].name for item in joined.on(side).items} for side in Side]
        assert of[0] == of[1] == {"Brot", "Crème", "Käse"}

    @pytest.mark.parametrize("path", [".", "..", "a/..", "../data", "../data/"])
    def test_data_have_a_name_however_their_path_is_spelt(self, tmp_path, monkeypatch, path):
        grown(tmp_path / "data", pngs(["a/1.png", "b/1.png"]))
        monkeypatch.chdir(tmp_path / "data" / ("a" if path == ".." else ""))
        assert open_sources(Path(path), None).name == "data"

    def test_the_right_side_joins_what_trains_and_what_is_held_out(self, tmp_path):
        inside = ["train/a/1.png", "train/b/1.png", "val/c/1.png", "val/d/1.png"]
        parted = grown(tmp_path / "left", pngs(inside))
        right = grown(tmp_path / "right", pngs(f"{name}/r.png" for name in "abcde"))
        found = open_sources(parted, None, right)
        keys = [[item.key for item in part.items] for part in (found.train, found.holdout)]
        assert keys[0] == ["left/a/1.png", "left/b/1.png", "right/a/r.png", "right/b/r.png"]
        assert keys[1] == ["left/c/1.png", "left/d/1.png", "right/c/r.png", "right/d/r.png"]
        found = open_sources(parted / "train", parted / "val", right)
        assert [[item.key for item in part.items] for part in (found.train, found.holdout)] == keys

    def test_shares_split_what_has_no_holdout(self, data):
        shares = SplitShares(validation=0.1, calibration=0.3)
        split = make_split(open_sources(data, None), shares, 0)
        assert (len(split.validation), len(split.calibration)) == (2, 6)
        crossed = make_split(open_sources(data, None), shares, 0, crossed=True)
        assert (len(crossed.validation), crossed.calibration, crossed.crossed) == (2, (), True)

    def test_a_holdout_validates_and_calibrates_by_its_own_images(self, data, holdout):
        sources = open_sources(data, holdout)
        split = make_split(sources, SplitShares(), 0, crossed=True)
        assert (len(split.train), split.crossed) == (20, False)
        parts = make_parts(sources, split)
        assert parts.train == sources.train
        assert together(parts.validation, parts.calibration) == sources.holdout

    def test_data_that_changed_are_not_gone_on_with(self, data, holdout):
        sources = open_sources(data, holdout)
        split = make_split(sources, SplitShares(), 0)
        check_same_data(sources, split)
        with pytest.raises(TrainingError, match="not the data"):
            check_same_data(open_sources(data, None), split)
        grown(holdout, pngs(["k0/new.png"]))
        with pytest.raises(TrainingError, match="not the data"):
            check_same_data(open_sources(data, holdout), split)
        (holdout / "k0" / "new.png").unlink()
        check_same_data(open_sources(data, holdout), split)
        grown(data, pngs(["c00/new.png"]))
        with pytest.raises(TrainingError, match="not the data"):
            check_same_data(open_sources(data, holdout), split)
