"""The policies that others have found: what they draw, what they do, and how reproducibly."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model_store.preprocessing import Preprocessing
from tests.tiny import GREY_32
from tests.training.drawings import draw_folder
from training.components import Component, build
from training.data.augmentation import AUGMENTATIONS, auto_augment
from training.data.augmentation.auto_augment import AutoAugment
from training.data.batches import Batches
from training.data.opening import open_data
from training.data.pixels import load_pixels
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.errors import RecipeError

POLICIES = ["imagenet", "rand-augment", "trivial-augment"]
WHOLE = {"area": 1.0}


def spec(mode: str = "RGB", height: int = 24, width: int = 24) -> Preprocessing:
    channels = 1 if mode == "L" else 3
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return Preprocessing(height=height, width=width, mode=mode, fill=128, mean=zeros, std=ones)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, of: Preprocessing) -> torch.Tensor:
    return torch.randint(0, 256, (count, *of.shape), generator=generator(9)).to(torch.uint8)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_shape_and_range_whatever_is_drawn(policy, mode):
    of = spec(mode, 18, 25)
    images = pictures(64, of)
    changed = AutoAugment(of, policy=policy)(images, generator())
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("policy", POLICIES)
def test_each_image_has_a_draw_of_its_own(policy):
    of = spec()
    images = pictures(1, of).expand(48, *of.shape)
    changed = AutoAugment(of, policy=policy, **WHOLE)(images, generator())
    assert len(changed.flatten(1).unique(dim=0)) > 12


def test_it_draws_from_the_batchs_generator_alone_also_on_threads():
    of = spec()
    policy, images = AutoAugment(of, policy="rand-augment"), pictures(16, of)
    alone = [policy(images, generator(seed)) for seed in range(8)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda seed: policy(images, generator(seed)), range(8)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(alone, beside, strict=True))


def test_the_policies_are_torchvisions():
    from torchvision.transforms import v2

    theirs = [
        tuple((name.lower(), chance, level or 0) for name, chance, level in pair)
        for pair in v2.AutoAugment()._policies
    ]
    ours = [
        tuple((name.replace("-", ""), chance, round(9 * share)) for name, chance, share in pair)
        for pair in auto_augment._IMAGENET
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("space", "bins", "strongest"),
    [
        ("RandAugment", 31, auto_augment._STRONGEST),
        ("TrivialAugmentWide", 31, auto_augment._STRONGEST | auto_augment._WIDER),
    ],
)
def test_so_are_the_operations_and_their_strengths(space, bins, strongest):
    from torchvision.transforms import v2

    def ours(name: str, share: float) -> float:
        amount = auto_augment._amount(strongest, name, share, 1.0)
        if name == "posterize":
            return 8 - round(amount)
        return 1 - amount / 255 if name == "solarize" else amount

    theirs = getattr(v2, space)._AUGMENTATION_SPACE
    names = {name.replace("-", ""): name for name in ("identity", *strongest)}
    assert {name.lower() for name in theirs} == set(names)
    for name, (amounts, either_way) in theirs.items():
        own = names[name.lower()]
        assert either_way == (own in auto_augment._EITHER_WAY)
        # Translations are shares of a side here and pixels there.
        expected = amounts(bins, 224, 224)
        scale = 224 if own.startswith("translate") else 1
        if own not in ("identity", "autocontrast", "equalize"):
            found = [scale * ours(own, level / (bins - 1)) for level in range(bins)]
            assert found == pytest.approx(expected.tolist(), abs=1e-4)


def test_operations_by_hand():
    of = spec("L")
    known = auto_augment._operations(of)
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4) * 17
    assert torch.equal(known["invert"](image, 0.0), 255 - image)
    assert torch.equal(known["posterize"](image, 4.0), image & 0xF0)
    assert torch.equal(known["solarize"](image, 255 - 128), torch.where(image < 128, image, ~image))
    assert torch.equal(known["brightness"](image, -1.0), torch.zeros_like(image))
    assert torch.equal(known["color"](image, 0.9), image), "grey has no colour to change"
    moved = known["translate-x"](image, 0.5)
    assert torch.equal(moved[..., 2:], image[..., :2])
    assert (moved[..., :2] == of.fill).all()
    assert torch.equal(known["rotate"](image, 90.0), image.rot90(1, (1, 2)))


def test_crops_show_parts_and_mirror_only_if_told():
    of = spec("L", 32, 32)
    across = torch.arange(32, dtype=torch.uint8).mul(8).view(1, 1, 32, 1).expand(64, 32, 32, 1)
    still = {"policy": "rand-augment", "strength": 0}

    def steps(**options) -> torch.Tensor:
        policy = AutoAugment(of, **still, **options)
        assert policy.mirrors == bool(options.get("mirror"))
        policy._draw = lambda count, _: [[]] * count
        shown = policy(across, generator()).float()[:, 16, 4:28, 0]
        return shown[:, -1] - shown[:, 0]

    # A whole image grows by 8 a pixel; one that shows a part, by less; a mirrored one falls.
    torch.testing.assert_close(steps(area=1.0), torch.full((64,), 184.0), atol=30, rtol=0)
    parts = steps(area=0.25)
    assert parts.min() > 60
    assert parts.min() < 110
    assert (steps(area=0.25, mirror=1.0) < 0).all()


def test_batches_keep_their_labels_and_are_the_same_whenever_made(tmp_path):
    folder = open_data(draw_folder(tmp_path, classes=6, images=4)).whole
    images = TrainingSet(
        load_pixels(folder, GREY_32, budget=2**24, workers=1), turned_classes=False
    )
    sampler = SAMPLERS["classes-by-images"](images.table, 12, 0, images=2)

    def batches(name: str) -> Batches:
        policy = AUGMENTATIONS[name](GREY_32)
        return Batches(images, sampler, policy, seed=1, device=torch.device("cpu"), steps=5)

    (plain,), (changed,), (again,) = (
        batches(name).of(3) for name in ("none", "auto-augment", "auto-augment")
    )
    assert torch.equal(changed().labels, plain().labels)
    assert torch.equal(changed().images, again().images)
    assert not torch.equal(changed().images, plain().images)
    (other,) = batches("auto-augment").of(4)
    assert not torch.equal(changed().images, other().images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "cifar10"}, "cannot be 'cifar10': Input should be 'imagenet', 'rand-augment'"),
        ({"strength": 31}, "strength 0 to 30"),
        ({"operations": 0}, "operations must be 1"),
        ({"area": 0.0}, "area must be in"),
        ({"mirror": 1.5}, "mirror in"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(RecipeError, match=message):
        build(
            AUGMENTATIONS, "augmentation", Component(name="auto-augment", options=options), spec()
        )
