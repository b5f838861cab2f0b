import pytest
import torch

from model_store.network import Side
from tests.training import small
from tests.training.trees import grown, png, zipped
from training.errors import DataError
from training.evaluation.embedding import embed_folder
from training.evaluation.protocols.omniglot_runs import omniglot_runs_figures, play_runs


def runs(count=2, ways=5, shift=0):
    """Each test image is its training image again, so that the right answer is certain."""
    files = {}
    for number in range(1, count + 1):
        name = f"run{number:02}"
        lines = []
        for way in range(ways):
            image = png(100 * number + way, size=(32, 32))
            item, answer = f"{name}/test/item{way:02}.png", f"{name}/training/class{way:02}.png"
            files |= {item: image, answer: image}
            lines.append(f"{item} {name}/training/class{(way + shift) % ways:02}.png")
        files[f"{name}/class_labels.txt"] = "\n".join([*lines, ""]).encode()
    return files


@pytest.mark.parametrize("wrapping", ["", "all_runs/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_same_image_is_found_again(tmp_path, wrapping, kind):
    files = {wrapping + name: content for name, content in runs().items()}
    path = (
        zipped(tmp_path / "all_runs.zip", files)
        if kind == "zip"
        else grown(tmp_path / "some", files)
    )
    found = omniglot_runs_figures(play_runs(path, small.network("cosine")))
    assert (found.trials, found.runs, found.accuracy) == (10, 2, 1)
    assert found.accuracy_by_run == {"run01": 1, "run02": 1}


def test_answers_that_belong_to_others_are_wrong(tmp_path):
    played = play_runs(grown(tmp_path, runs(shift=1)), small.network("cosine"))
    assert omniglot_runs_figures(played).accuracy == 0


def test_candidates_of_equal_score_are_no_answer(tmp_path):
    files = runs(count=1)
    same = {name: png(0) for name in files if name.endswith(".png")}
    played = play_runs(grown(tmp_path, files | same), small.network("cosine"))
    assert omniglot_runs_figures(played).accuracy == 0


def test_two_sides_are_embedded_by_their_own_branches(tmp_path):
    network = small.network("cosine", sides=2)
    played = play_runs(grown(tmp_path, runs(count=1)), network)
    for found, side in ((played.queries, Side.LEFT), (played.candidates, Side.RIGHT)):
        by = {each: embed_folder(network, found.folder, side=each).embeddings for each in Side}
        other = Side.LEFT if side is Side.RIGHT else Side.RIGHT
        assert torch.equal(found.embeddings, by[side])
        assert not torch.allclose(found.embeddings, by[other])


def test_a_missing_image_is_named(tmp_path):
    files = runs(count=1)
    del files["run01/training/class03.png"]
    with pytest.raises(DataError, match=r"class03\.png"):
        play_runs(grown(tmp_path, files), small.network())


def test_pairs_and_answers_of_runs(tmp_path):
    played = play_runs(grown(tmp_path, runs(shift=1)), small.network("cosine"))
    answers, pairs = played.answers(), played.pairs()
    assert (len(pairs.genuine), len(pairs.impostor), pairs.classes) == (10, 40, 10)
    queries, candidates = played.queries.folder.items, played.candidates.folder.items
    for query, right, wrong in zip(answers.query, answers.right, answers.wrong, strict=True):
        # Each test image is a training image again, and the labels name the one after it.
        number = int(queries[query].key[-6:-4])
        assert candidates[wrong].key.endswith(f"class{number:02}.png")
        assert candidates[right].key.endswith(f"class{(number + 1) % 5:02}.png")
    assert answers.wrong_score == pytest.approx(1)
