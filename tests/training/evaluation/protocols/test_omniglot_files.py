import pytest

from tests.training.trees import grown, png
from training.errors import DataError
from training.evaluation.protocols.omniglot_files import Run, open_runs


def test_the_runs_are_as_their_files_name_them(tmp_path):
    lines = b"run01/test/item01.png run01/training/class02.png\n\n"
    lines += b"run01/test/item02.png run01/training/class01.png\n"
    source, found = open_runs(grown(tmp_path, {"all_runs/run01/class_labels.txt": lines}))
    queries = ("all_runs/run01/test/item01.png", "all_runs/run01/test/item02.png")
    answers = ("all_runs/run01/training/class02.png", "all_runs/run01/training/class01.png")
    assert source.path == tmp_path
    assert found == [Run("run01", queries, answers)]
    assert found[0].candidates == tuple(reversed(answers))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"run01/test/item00.png", "line 1"),
        (b"run01/test/item00.png ../../secret.png", "line 1"),
        (b"run01/test/item00.png /etc/secret.png", "line 1"),
        (b"\xff\xfe", "class_labels.txt"),
        (b"", "fewer than two"),
    ],
)
def test_labels_in_another_form_are_refused(tmp_path, line, message):
    root = grown(tmp_path, {"run01/class_labels.txt": line})
    with pytest.raises(DataError, match=message):
        open_runs(root)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(DataError, match="all_runs"):
        open_runs(grown(tmp_path, {"a/1.png": png()}))
