import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.training.trees import embedded, grown, pngs, zipped
from training.data.opening import open_data
from training.data.split import (
    Split,
    classes_named,
    deal_classes,
    split_classes,
    split_holdout,
    told_of_start,
    units_of,
)
from training.errors import DataError


@pytest.fixture
def make(tmp_path):
    def made(names, root="data"):
        return open_data(grown(tmp_path / root, pngs(f"{name}/1.png" for name in names))).whole

    return made


def parts(split):
    return [set(split.train), set(split.validation), set(split.calibration)]


def test_the_three_parts_are_disjoint_and_all_there_is(make):
    folder = make([f"c{n}" for n in range(20)])
    split = split_classes(folder, validation=0.2, calibration=0.1, seed=3)
    train, validation, calibration = parts(split)
    assert (len(train), len(validation), len(calibration)) == (14, 4, 2)
    assert train | validation | calibration == {entry.name for entry in folder.classes}
    assert split.unit == "class"
    assert split.train_digest == folder.digest()
    assert split.seen == ()


def test_the_draw_depends_on_names_and_seed_alone(make):
    names = [f"c{n}" for n in range(30)]
    one = split_classes(make(names, "1"), validation=0.2, calibration=0.2, seed=0)
    two = split_classes(make(names[::-1], "2"), validation=0.2, calibration=0.2, seed=0)
    other = split_classes(make(names, "3"), validation=0.2, calibration=0.2, seed=1)
    assert parts(one) == parts(two)
    assert parts(one) != parts(other)


def test_the_draw_stays_as_it_is(make):
    """A split is made anew on other machines and by later versions: it must come out the same.

    Checked by hand: of `printf '0\\0c4' | sha256sum` and so on, c4 and c6 come first, then c2, c0.
    """
    folder = make([f"c{n}" for n in range(8)])
    split = split_classes(folder, validation=0.25, calibration=0.25, seed=0)
    assert (split.calibration, split.validation) == (("c4", "c6"), ("c0", "c2"))


def test_a_share_is_rounded_to_the_nearest_number_of_classes(make):
    folder = make([f"c{n:02}" for n in range(15)])
    split = split_classes(folder, validation=0.25, calibration=0.29, seed=0)
    assert [len(part) for part in parts(split)] == [7, 4, 4], "of 3.75 and 4.35"


def test_ten_groups_or_more_are_kept_whole(make):
    folder = make([f"g{group}/c{n}" for group in range(10) for n in range(3)])
    split = split_classes(folder, validation=0.2, calibration=0.1, seed=0)
    assert split.unit == "group"
    assert [len(part) for part in parts(split)] == [21, 6, 3]
    groups = [{name.split("/")[0] for name in part} for part in parts(split)]
    assert sum(map(len, groups)) == 10


def test_fewer_groups_than_ten_are_split_by_class(make):
    folder = make([f"g{group}/c{n}" for group in range(3) for n in range(4)])
    split = split_classes(folder, validation=0.25, calibration=0.25, seed=0)
    assert split.unit == "class"
    assert [len(part) for part in parts(split)] == [6, 3, 3]


def test_every_part_has_two_classes_at_least(make):
    folder = make([f"g{group}/c" for group in range(12)])
    split = split_classes(folder, validation=0.01, calibration=0.01, seed=0)
    assert [len(part) for part in parts(split)] == [8, 2, 2]


def test_a_share_of_nothing_is_nothing(make):
    split = split_classes(make("abcd"), validation=0, calibration=0.5, seed=0)
    assert split.validation == ()
    assert len(split.calibration) == 2


@pytest.mark.parametrize(
    ("classes", "validation", "calibration", "message"),
    [
        (5, 0.2, 0.2, r"at least 6: .*\(--set split.validation=0 --set split.calibration=0\)"),
        (3, 0.2, 0.0, r"at least 4: 2 each to train and validate.*\(--set split.validation=0\)"),
        (1, 0.0, 0.0, "needs at least 2"),
        (10, 0.5, 0.5, "smaller shares"),
        (9, 0.45, 0.45, r"1 class\(es\) would be left"),
    ],
)
def test_too_few_classes_are_refused_with_what_is_missing(
    make, classes, validation, calibration, message
):
    folder = make([f"c{n}" for n in range(classes)])
    with pytest.raises(DataError, match=message):
        split_classes(folder, validation=validation, calibration=calibration, seed=0)


def test_a_holdout_is_halved_and_all_else_trains(make):
    folder, holdout = make(["a", "b"], "train"), make("cdefg", "holdout")
    split = split_holdout(folder, holdout, seed=0)
    assert split.train == ("a", "b")
    assert set(split.validation) | set(split.calibration) == set("cdefg")
    assert {len(split.validation), len(split.calibration)} == {2, 3}
    assert split.holdout_digest == holdout.digest()


def test_groups_of_a_holdout_are_halved_whole_by_the_seed(make):
    holdout = make([f"g{group:02}/c{n}" for group in range(12) for n in range(2)], "holdout")
    split, other = (split_holdout(make("ab", f"{s}"), holdout, seed=s) for s in (0, 1))
    assert split.unit == "group"
    assert [len(part) for part in parts(split)] == [2, 12, 12]
    groups = [{name.split("/")[0] for name in part} for part in parts(split)[1:]]
    assert not groups[0] & groups[1]
    assert parts(split)[1] != parts(other)[1]


def test_one_class_to_train_on_is_refused_beside_a_holdout(make):
    with pytest.raises(DataError, match="at least 2"):
        split_holdout(make("a", "train"), make("cdef", "holdout"), seed=0)


def test_classes_are_dealt_evenly_by_the_seed(make):
    """By hand: `printf '0\\0c4' | sha256sum` and so on give c6, c4, c2, c0, c7, c5, c1, c3."""
    folder = make([f"c{n}" for n in range(8)])
    assert deal_classes(folder, 3, 0) == [["c0", "c1", "c6"], ["c3", "c4", "c7"], ["c2", "c5"]]
    assert deal_classes(folder, 3, 1) != deal_classes(folder, 3, 0)


def test_classes_of_a_group_have_its_number(make):
    folder = make([f"g{group}/c{n}" for group in range(10) for n in range(3)])
    assert units_of(folder).tolist() == [group for group in range(10) for _ in range(3)]
    assert units_of(make("cab", "flat")).tolist() == [0, 1, 2]


def test_classes_on_both_sides_of_a_holdout_are_named(make):
    split = split_holdout(make("abc", "train"), make("bcde", "holdout"), seed=0)
    assert sorted(split.seen) == ["b", "c"]
    assert not split.all_new
    assert split.kept_told == "classes of which 2 were trained on, by other images"


@pytest.mark.parametrize(
    ("start", "told", "warning"),
    [
        ((), "classes never trained on", ""),
        (("else",), "classes never trained on", ""),
        (
            ("c", "else"),
            "classes of which 1 were trained on by the model it started from",
            "1 of the 4 classes",
        ),
        (None, "but perhaps not from that of its starting weights", "not recorded"),
    ],
)
def test_classes_that_the_starting_weights_learnt_are_not_called_new(make, start, told, warning):
    split = split_holdout(make("xy", "train"), make("abcd", "holdout"), seed=0)
    split = split.model_copy(update={"start_learnt": start})
    assert told in split.kept_told
    assert split.all_new == (not warning)
    assert set(split.learnt) == {"x", "y", *(start or ())}
    found = told_of_start({*split.validation, *split.calibration}, start)
    assert warning in found
    assert bool(found) == bool(warning)
    assert told_of_start((), start) == ""


def test_too_small_a_holdout_is_refused(make):
    with pytest.raises(DataError, match="at least 4"):
        split_holdout(make("ab", "train"), make("cde", "holdout"), seed=0)


def test_json_and_back(make):
    split = split_classes(make("abcdefgh"), validation=0.25, calibration=0.25, seed=7)
    assert Split.from_json(split.to_json()) == split
    with pytest.raises(ValidationError):
        Split.from_json(b"{}")


def test_a_class_that_is_not_there_is_named():
    folder = embedded([[0], [1], [2]], ["a", "b", "c"]).folder
    assert [entry.name for entry in classes_named(folder, ["c", "a"]).classes] == ["a", "c"]
    with pytest.raises(DataError, match="no class 'd', which"):
        classes_named(folder, ["a", "d"])
    with pytest.raises(DataError, match=r"no class 'd' \(and 2 more\)"):
        classes_named(folder, ["d", "a", "e", "f"])


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 40), st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.integers(0, 9))
def test_no_class_is_ever_in_two_parts(tmp_path_factory, count, validation, calibration, seed):
    names = [f"c{n:02}" for n in range(count)]
    path = tmp_path_factory.mktemp("any") / "data.zip"
    folder = open_data(zipped(path, {f"{name}/1.png": b"" for name in names})).whole
    split = split_classes(folder, validation=validation, calibration=calibration, seed=seed)
    assert sorted([*split.train, *split.validation, *split.calibration]) == names
    assert min(len(split.train), len(split.validation), len(split.calibration)) >= 2


def test_where_pairs_are_crossed_no_class_is_kept_for_calibration(make):
    folder = make([f"c{n}" for n in range(20)])
    split = split_classes(folder, validation=0.2, calibration=0.1, seed=3)
    crossed = split_classes(folder, validation=0.2, calibration=0.1, seed=3, crossed=True)
    assert [len(part) for part in parts(crossed)] == [16, 4, 0]
    assert not set(crossed.validation) & set(split.train), "they had no part in a choice by those"
    assert (crossed.crossed, split.crossed) == (True, False)
    assert set(crossed.calibrating) == {f"c{n}" for n in range(20)}
    assert set(split.calibrating) == {*split.validation, *split.calibration}
    assert Split.from_json(crossed.to_json()) == crossed


def test_a_split_written_before_there_was_crossing_is_read(make):
    split = split_classes(make([f"c{n}" for n in range(8)]), validation=0.2, calibration=0, seed=0)
    content = json.loads(split.to_json())
    del content["crossed"]
    assert Split.from_json(json.dumps(content).encode()) == split
    assert split.calibrating == (), "without classes to calibrate, nothing was calibrated"


def test_a_split_that_was_written_with_decomposed_names_finds_its_classes(make):
    folder = make(["Cre\u0300me", "Brot", "Ka\u0308se"])
    written = Split(
        seed=0, unit="class", train=(), validation=(), calibration=(), train_digest=""
    ).model_dump()
    written["train"] = ["Cre\u0300me", "Ka\u0308se"]
    split = Split.from_json(json.dumps(written).encode())
    assert [entry.name for entry in classes_named(folder, split.train).classes] == ["Crème", "Käse"]
