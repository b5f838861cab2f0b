import io

import numpy as np
import pytest
import torch

from model_store.images import decode_prepared
from model_store.network import Side
from tests.training import small
from tests.training.trees import grown, pngs, zipped
from training.data.opening import open_data
from training.data.sides import join_sides
from training.errors import DataError
from training.evaluation.embedding import embed_folder, embed_sides
from training.progress import Reporter


def opened(path, files):
    return open_data(grown(path, files)).whole


def test_every_image_has_its_embedding_in_order(tmp_path):
    files = pngs(f"{label}/{n}.png" for label in "abc" for n in range(5))
    folder = open_data(zipped(tmp_path / "data.zip", files)).whole
    network = small.network()
    told = []
    found = embed_folder(network, folder, batch=4, workers=3, on_progress=told.append)
    assert found.folder is folder
    assert found.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert found.skipped == ()
    assert told == [4, 8, 12, 15]
    assert found.embeddings.dtype == torch.float32
    assert not found.embeddings.is_inference()
    for item, embedding in zip(folder.items, found.embeddings, strict=True):
        image = torch.from_numpy(decode_prepared(files[item.key], network.preprocessing))
        with torch.no_grad():
            alone = network.embed(image[None])[0]
        assert torch.allclose(alone, embedding, atol=1e-5)


def test_what_cannot_be_decoded_is_left_out_and_named(tmp_path):
    files = pngs(f"{label}/{n}.png" for label in "ab" for n in range(3))
    files["a/1.png"] = b"not an image"
    files["b/2.png"] = files["b/2.png"][:60]
    files["gone/only.png"] = b""
    found = embed_folder(small.network(), opened(tmp_path, files), batch=2)
    reasons = {entry.key: entry.reason for entry in found.skipped}
    assert sorted(reasons) == ["a/1.png", "b/2.png", "gone/only.png"]
    assert "not an image" in reasons["a/1.png"]
    assert "cut short" in reasons["b/2.png"]
    assert [item.key for item in found.folder.items] == ["a/0.png", "a/2.png", "b/0.png", "b/1.png"]
    assert [entry.name for entry in found.folder.classes] == ["a", "b"]
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert len(found.embeddings) == 4


def test_a_file_that_vanishes_is_named(tmp_path):
    folder = opened(tmp_path, pngs(["a/0.png", "a/1.png"]))
    (tmp_path / "a" / "0.png").unlink()
    found = embed_folder(small.network(), folder)
    assert [entry.key for entry in found.skipped] == ["a/0.png"]


def test_no_usable_image_at_all_is_an_error_with_the_first_reason(tmp_path):
    folder = opened(tmp_path, {"a/0.png": b"x", "b/0.png": b"y"})
    with pytest.raises(DataError, match=r"a/0\.png: not an image"):
        embed_folder(small.network(), folder)


def test_the_modes_of_all_parts_are_put_back(tmp_path):
    folder = opened(tmp_path, pngs(["a/0.png", "a/1.png"]))
    network = small.network().train()
    frozen = network.branches[0].backbone.eval()
    before = [module.training for module in network.modules()]
    embed_folder(network, folder)
    assert [module.training for module in network.modules()] == before
    assert not frozen.training


def test_each_side_has_its_branch(tmp_path):
    folder = opened(tmp_path, pngs(["a/0.png", "a/1.png"]))
    network = small.network(sides=2)
    left = embed_folder(network, folder, side=Side.LEFT)
    right = embed_folder(network, folder, side=Side.RIGHT)
    assert not torch.allclose(left.embeddings, right.embeddings, atol=1e-3)
    assert (left.side, right.side) == (Side.LEFT, Side.RIGHT)


def test_a_subset_keeps_embeddings_with_their_images(tmp_path):
    folder = opened(tmp_path, pngs(f"{label}/{n}.png" for label in "abc" for n in range(2)))
    whole = embed_folder(small.network(), folder)
    part = whole.subset([2, 0])
    assert [item.key for item in part.folder.items] == ["a/0.png", "a/1.png", "c/0.png", "c/1.png"]
    assert part.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(part.embeddings, whole.embeddings[np.array([0, 1, 4, 5])])


def both_sides(network, folder):
    return embed_sides(network, folder, "t", device="cpu", reporter=Reporter(io.StringIO()))


def test_one_folder_has_a_right_side_only_where_the_branches_differ(tmp_path):
    files = pngs(f"{label}/{n}.png" for label in "ab" for n in range(2))
    folder = opened(tmp_path, {**files, "a/bad.png": b"no image"})
    assert both_sides(small.network(), folder).right is None
    network = small.network(sides=2)
    found = both_sides(network, folder)
    assert found.right.folder is found.left.folder
    assert [entry.key for entry in found.skipped] == ["a/bad.png"]
    assert not torch.equal(found.left.embeddings, found.right.embeddings)
    alone = embed_folder(network, found.left.folder, side=Side.RIGHT)
    assert torch.equal(found.right.embeddings, alone.embeddings)


def test_of_two_sides_each_has_its_own_images(tmp_path):
    left = opened(tmp_path / "left", pngs(["a/0.png", "a/1.png", "b/0.png"]))
    right = opened(tmp_path / "right", {**pngs(["a/5.png", "b/5.png"]), "b/bad.png": b"no image"})
    found = both_sides(small.network(), join_sides(left, right))
    keys = [[item.key for item in side.folder.items] for side in (found.left, found.right)]
    assert keys == [
        ["left/a/0.png", "left/a/1.png", "left/b/0.png"],
        ["right/a/5.png", "right/b/5.png"],
    ]
    assert (found.left.side, found.right.side) == (Side.LEFT, Side.RIGHT)
    assert [entry.key for entry in found.skipped] == ["right/b/bad.png"]
