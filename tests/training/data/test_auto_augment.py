"""The policies that others have found: what they draw, what they do, and how reproducibly."""

from collections import Counter, defaultdict
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


THEIRS = {
    name: "".join(part.capitalize() for part in name.split("-"))
    for name in ("identity", "invert", *auto_augment._STRONGEST)
} | {"autocontrast": "AutoContrast"}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_operation_does_what_torchvisions_does(name, sign):
    from torchvision.transforms import v2

    of = spec("RGB", 24, 24)
    image = pictures(1, of)[0].permute(2, 0, 1) // 2 + 50  # To be stretched by autocontrast.
    amount = auto_augment._amount(auto_augment._STRONGEST, name, 0.6, sign)
    given = amount
    if name.startswith("translate"):
        given = round(24 * amount)
    elif name == "posterize":
        given = 8 - round(amount)
    elif name == "solarize":
        given = 1 - amount / 255
    apply = v2.RandAugment()._apply_image_or_video_transform
    nearest = v2.InterpolationMode.NEAREST
    theirs = apply(image, THEIRS[name], given, nearest, {torch.Tensor: [float(of.fill)]})
    ours = auto_augment._operations(of)[name](image, amount)
    assert torch.equal(ours, theirs)
    assert torch.equal(ours, image) == (name == "identity")


def drawn(policy: str, count: int, **options) -> list[list[tuple[str, float]]]:
    return AutoAugment(spec(), policy=policy, **options)._draw(count, generator())


def either_way(amounts: list[float]) -> bool:
    """Whether of those that are not 0 about as many are below it as above."""
    signs = [amount > 0 for amount in amounts if amount]
    return 0.35 < sum(signs) / len(signs) < 0.65


def test_the_policy_for_imagenet_draws_its_pairs_with_their_chances():
    count = 5_000
    found, chances, amounts = defaultdict(list), Counter(), defaultdict(set)
    for pair in auto_augment._IMAGENET:
        for name, chance, share in pair:
            chances[name] += chance
            amounts[name].add(round(share * auto_augment._STRONGEST.get(name, 0), 6))
    for of_image in drawn("imagenet", count):
        assert len(of_image) <= 2
        for name, amount in of_image:
            found[name].append(amount)
    for name, total in chances.items():
        assert len(found[name]) == pytest.approx(total * count / 25, abs=170), name
        assert {round(abs(amount), 6) for amount in found[name]} == amounts[name]
        if name in auto_augment._EITHER_WAY:
            assert either_way(found[name]), name
        else:
            assert min(found[name]) >= 0, name
    assert found.keys() == chances.keys()


def test_rand_augment_draws_so_many_of_one_strength():
    found = defaultdict(list)
    for of_image in drawn("rand-augment", 2_000, operations=4, strength=15):
        assert len(of_image) == 4
        for name, amount in of_image:
            found[name].append(amount)
    assert found.keys() == {"identity", *auto_augment._STRONGEST}
    for name, amounts in found.items():
        assert len(amounts) == pytest.approx(8_000 / 14, abs=120), name
        half = auto_augment._STRONGEST.get(name, 0) / 2
        assert {abs(amount) for amount in amounts} == {half}, name
        assert min(amounts) >= 0 or name in auto_augment._EITHER_WAY
        assert name not in auto_augment._EITHER_WAY or either_way(amounts), name


def test_trivial_augment_draws_one_of_any_strength_in_its_wider_space():
    strongest = auto_augment._STRONGEST | auto_augment._WIDER
    found = defaultdict(list)
    for of_image in drawn("trivial-augment", 8_000):
        ((name, amount),) = of_image
        found[name].append(amount)
    assert found.keys() == {"identity", *strongest}
    for name, amounts in found.items():
        assert len(amounts) == pytest.approx(8_000 / 14, abs=120), name
        levels = {round(strongest.get(name, 0) * level / 30, 6) for level in range(31)}
        assert {round(abs(amount), 6) for amount in amounts} == levels, name
        assert min(amounts) >= 0 or name in auto_augment._EITHER_WAY
        assert name not in auto_augment._EITHER_WAY or either_way(amounts), name


def test_crops_lie_anywhere_are_stretched_and_mirrored_by_their_share():
    of = spec("RGB", 32, 32)
    ramp = torch.arange(32, dtype=torch.uint8).mul(8)
    # The first channel grows across, the second down.
    image = torch.stack(
        [ramp.expand(32, 32), ramp.expand(32, 32).T, torch.zeros_like(ramp).expand(32, 32)], -1
    )
    policy = AutoAugment(of, area=0.4, mirror=0.3)
    policy._draw = lambda count, _: [[]] * count
    shown = policy(image.expand(800, 32, 32, 3), generator()).double()
    across = (shown[:, 16, 24, 0] - shown[:, 16, 8, 0]) / 128
    down = (shown[:, 24, 16, 1] - shown[:, 8, 16, 1]) / 128
    assert (across < 0).double().mean() == pytest.approx(0.3, abs=0.06)
    across = across.abs()
    area, stretch = across * down, across / down
    assert (area.min(), area.max()) == pytest.approx((0.4, 0.95), abs=0.06)
    assert (stretch.min(), stretch.max()) == pytest.approx((3 / 4, 4 / 3), abs=0.1)
    assert stretch.log().mean() == pytest.approx(0, abs=0.03)
    for channel, side in ((0, across), (1, down)):
        off = (shown[:, 15:17, 15:17, channel].mean((1, 2)) / 8 - 15.5) / 16
        assert (off.abs() <= 1 - side + 0.04).all()
        assert off.min() < -0.25
        assert off.max() > 0.25


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
