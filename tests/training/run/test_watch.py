"""The images that a network is looked at by while it trains."""

import pytest
import torch

from model_store.network import Side
from tests.training import small
from tests.training.scored import verification
from tests.training.trees import grown, pngs, whole
from training.data.pixels import PixelsInMemory
from training.data.sides import join_sides
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.protocols.one_shot import one_shot
from training.run.watch import Watch, with_pairs


def test_a_class_with_pairs_has_two_images_or_one_on_either_side(tmp_path):
    names = [f"one{number:02}/0.png" for number in range(9)]
    names += [f"some{number}/{image}.png" for number in range(3) for image in range(3)]
    left = whole(grown(tmp_path / "left", pngs(names)))
    right = whole(grown(tmp_path / "right", pngs(["one07/0.png", "some1/0.png", "other/0.png"])))

    def kept(folder) -> set[str]:
        return {entry.name for entry in with_pairs(folder).classes}

    assert kept(left) == {"some0", "some1", "some2"}
    assert kept(join_sides(left, right)) == {"one07", "some1"}


def pixels(of):
    images = torch.randint(
        0,
        256,
        (len(of.items), 32, 32, 1),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(1),
    )
    return PixelsInMemory(of, images, ())


@pytest.mark.parametrize("joined", [True, False], ids=["left and right images", "the same images"])
def test_two_sides_are_validated_each_by_its_own_branch(tmp_path, joined):
    names = [f"g{group}/c{n}/{image}.png" for group in "ab" for n in range(4) for image in range(3)]
    folder = whole(grown(tmp_path / "left", pngs(names)))
    if joined:
        folder = join_sides(folder, whole(grown(tmp_path / "right", pngs(names[::3]))))
    network, held = small.network("euclidean", sides=2), pixels(folder)
    on_right = torch.from_numpy(folder.on_right) if joined else torch.ones(24, dtype=torch.bool)
    images = {Side.LEFT: held.images[~on_right] if joined else held.images}
    images[Side.RIGHT] = held.images[on_right]
    with torch.no_grad():
        left, right = (
            EmbeddedFolder(network.embed(images[side], side), folder.on(side), (), side)
            for side in (Side.LEFT, Side.RIGHT)
        )
    sight = Watch(held, torch.device("cpu"), seed=0)(network)
    expected = verification(left, network, right=right)
    assert (sight.auc, sight.eer) == pytest.approx((expected.auc, expected.eer))
    if not joined:
        trials = one_shot(left, network, candidates=right, trials=2_000)
        assert sight.one_shot == trials.accuracy
