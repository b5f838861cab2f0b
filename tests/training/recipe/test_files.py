"""Recipes: read, overridden, refused with help."""

import re

import pytest
import yaml

from model_store.network import SiameseNetwork
from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from training.cli import main
from training.errors import RecipeError
from training.recipe.files import check_overrides, load_recipe, recipe_names, to_yaml
from training.recipe.sections import Schedule, Validation


@pytest.fixture
def small(tmp_path):
    return str(write_recipe(tmp_path / "small.yaml"))


class TestShipped:
    def test_names(self):
        assert {"glyphs", "groceries", "images", "vgg16-sigmoid"} <= set(recipe_names())

    @pytest.mark.parametrize("name", recipe_names())
    def test_is_valid_and_its_network_can_be_built(self, name):
        recipe = load_recipe(name)
        network = SiameseNetwork(recipe.network, recipe.preprocessing)
        assert network.dimension > 0
        assert recipe.description

    def test_vgg16_sigmoid_is_the_published_system(self):
        recipe = load_recipe("vgg16-sigmoid")
        network = SiameseNetwork(recipe.network, recipe.preprocessing)
        assert recipe.preprocessing.shape == (105, 105, 3)
        assert network.dimension == 4608
        shapes = [tuple(value.shape) for value in network.comparator.parameters()]
        assert shapes == [(512, 4608), (512,), (1, 512), (1,)]
        assert recipe.sampling.name == "balanced-pairs"
        assert recipe.loss.name == "binary-cross-entropy"

    @pytest.mark.parametrize("name", recipe_names())
    def test_max_steps_bounds_it(self, name):
        assert load_recipe(name, ["max_steps=7"]).steps(100_000, 64) == 7


class TestReading:
    def test_yaml_round_trip(self, small, tmp_path):
        recipe = load_recipe(small)
        again = tmp_path / "again.yaml"
        again.write_bytes(to_yaml(recipe))
        assert load_recipe(str(again)) == recipe

    @pytest.mark.parametrize(
        ("override", "value"),
        [
            ("batch=5", lambda r: r.batch == 5),
            ("optimiser.learning_rate=1e-3", lambda r: r.optimiser.learning_rate == 0.001),
            ("mean_decay=null", lambda r: r.mean_decay is None),
            ("data.turned_classes=false", lambda r: r.data.turned_classes is False),
            ("network.branches.0.projection=9", lambda r: r.network.branches[0].projection == 9),
            ("preprocessing.mean=[0.5]", lambda r: r.preprocessing.mean == (0.5,)),
            ("loss.options.scale=3", lambda r: r.loss.options["scale"] == 3),
            ("calibration.far=0.1", lambda r: r.calibration.far == 0.1),
        ],
    )
    def test_overrides(self, small, override, value):
        assert value(load_recipe(small, [override]))

    @pytest.mark.parametrize(
        ("override", "value"),
        [
            ("schedule.warm_up=0.1", Schedule(name="cosine", warm_up=0.1)),
            ("schedule.name=constant", Schedule(name="constant")),
            ("schedule.options={}", Schedule(name="cosine")),
            ("validation.times=3", Validation(times=3)),
        ],
    )
    @pytest.mark.parametrize("empty", [False, True])
    def test_a_section_that_is_left_out_can_be_overridden(self, tmp_path, override, value, empty):
        section = override.partition(".")[0]
        content = yaml.safe_load(SMALL_RECIPE)
        del content[section]
        if empty:
            content[section] = None
        path = write_recipe(tmp_path / "short.yaml", yaml.safe_dump(content))
        assert getattr(load_recipe(str(path), [override]), section) == value

    def test_options_of_an_augmentation_that_is_left_out_are_told_of_as_its(self, tmp_path):
        content = yaml.safe_load(SMALL_RECIPE)
        del content["augmentation"]
        path = str(write_recipe(tmp_path / "short.yaml", yaml.safe_dump(content)))
        with pytest.raises(RecipeError, match="augmentation 'none'"):
            load_recipe(path, ["augmentation.options.strength=2"])
        named = load_recipe(path, ["augmentation.options={}", "augmentation.name=jitter"])
        assert named.augmentation.name == "jitter"

    def test_another_name_drops_the_options_of_the_old_one(self, small):
        recipe = load_recipe(small, ["loss.name=prototypical", "loss.options.shots=2"])
        assert recipe.loss.options == {"shots": 2}

    @pytest.mark.parametrize(
        ("overrides", "name", "options"),
        [
            (["loss.options.shots=2", "loss.name=prototypical"], "prototypical", {"shots": 2}),
            (["loss.options={shots: 2}", "loss.name=prototypical"], "prototypical", {"shots": 2}),
            (
                [
                    "loss.options.shots=2",
                    "batch=6",
                    "loss.name=contrastive",
                    "loss.name=prototypical",
                ],
                "prototypical",
                {"shots": 2},
            ),
            # Of what contradicts, the last holds.
            (["loss.options.shots=2", "loss={name: contrastive}"], "contrastive", {}),
            (
                ["loss.options.shots=2", "loss={name: prototypical}", "loss.name=contrastive"],
                "contrastive",
                {},
            ),
        ],
    )
    def test_options_go_with_the_name_whichever_is_set_first(self, small, overrides, name, options):
        loss = load_recipe(small, overrides).loss
        assert (loss.name, loss.options) == (name, options)

    def test_options_that_were_chosen_go_with_the_name_that_was(self, small):
        chosen = ["loss.name=prototypical", "loss.options.shots=2"]
        recipe = load_recipe(small, ["loss.name=contrastive"], chosen=chosen)
        assert (recipe.loss.name, recipe.loss.options) == ("contrastive", {})
        assert load_recipe(small, ["batch=5"], chosen=[*chosen, "batch=6"]).batch == 5

    def test_of_two_overrides_of_one_key_the_last_holds(self, small):
        assert load_recipe(small, ["batch=5", "seed=1", "batch=6"]).batch == 6

    def test_an_override_changes_one_of_two_branches_written_once(self):
        recipe = load_recipe("pseudo-siamese", ["network.branches.1.pooling=average", "start=null"])
        assert [branch.pooling for branch in recipe.network.branches] == ["gem", "average"]

    def test_length(self, small):
        def steps(*overrides):
            return load_recipe(small, overrides).steps(images=100, images_per_step=10)

        assert steps("epochs=3", "max_steps=null") == 30
        assert steps("epochs=3", "max_steps=12") == 12
        assert steps("epochs=0.01", "max_steps=null") == 1


class TestHelp:
    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("learning_rate=1", "learning_rate: no such key"),
            ("optimiser.learning_rat=1", "optimiser.learning_rat.*did you mean 'learning_rate'"),
            ("optimiser.learning_rate=-1", "optimiser.learning_rate.*greater than 0"),
            ("optimiser.name=lion", "optimiser.name"),
            ("loss.name=cosin", "cosine-softmax"),
            ("loss.options.scal=1", "no option 'scal'.*scale"),
            ("loss.options.scale=abc", "option 'scale' cannot be 'abc'.*valid number"),
            ("loss.options.scale=.nan", "option 'scale' cannot be nan.*finite"),
            (
                "loss={name: triplet-margin, options: {mining: foo}}",
                "option 'mining' cannot be 'foo'.*'semi-hard', 'batch-hard' or 'all'",
            ),
            ("augmentation.options.rotation=abc", "option 'rotation' cannot be 'abc'"),
            (
                "sampling={name: classes-by-images, options: {images: 2.5}}",
                "option 'images' cannot be 2.5.*integer",
            ),
            ("schedule.options.floor=abc", "option 'floor' cannot be 'abc'"),
            ("schedule.options.floor=50", "option 'floor' cannot be 50.*less than or equal to 1"),
            ("calibration.far=1e-310", "calibration.far.*greater than or equal to 0.000000001"),
            ("optimiser.weight_decay=.inf", "optimiser.weight_decay.*finite"),
            ("epochs=1e308", "epochs.*less than or equal to 1000000"),
            ("sampling.name=x", "balanced-pairs"),
            ("schedule.name=x", "cosine"),
            ("augmentation.name=x", "glyphs"),
            ("batch", "key=value"),
            ("batch.x=1", "is a value, not a section"),
            ("network.branches.3.projection=1", "position from 0 to 0"),
            ("batch=[", "cannot be read as YAML"),
            ("preprocessing.width=40", "square"),
            ("preprocessing.mode=RGB", "3 value"),
            ("max_steps=null", "epochs"),
        ],
    )
    def test_a_mistake_is_named(self, small, override, message):
        with pytest.raises(RecipeError, match=message):
            load_recipe(small, [override])

    def test_unknown_recipe(self):
        with pytest.raises(RecipeError, match="did you mean 'glyphs'"):
            load_recipe("glyph")

    @pytest.mark.parametrize("text", ["- a list", "a: [", ""])
    def test_not_a_recipe(self, tmp_path, text):
        with pytest.raises(RecipeError, match="recipe"):
            load_recipe(str(write_recipe(tmp_path / "r.yaml", text)))

    def test_what_is_missing_is_named(self, tmp_path):
        content = yaml.safe_load(SMALL_RECIPE)
        del content["loss"]
        with pytest.raises(RecipeError, match="loss: missing"):
            load_recipe(str(write_recipe(tmp_path / "r.yaml", yaml.safe_dump(content))))


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("optimiser.learning_rte=0.1", "did you mean 'learning_rate'"),
        ("max_steps=many", "valid integer"),
        ("max_steps", "write it as key=value"),
        ("seed=[", "cannot be read as YAML"),
        ("max_steps=-1", "greater than or equal to 0"),
    ],
)
def test_what_no_recipe_takes_is_refused_before_one_is_chosen(override, advice, tmp_path, capsys):
    with pytest.raises(RecipeError, match=re.escape(advice)):
        check_overrides("photos", [override])
    draw_folder(tmp_path / "drawings", classes=8, images=3)
    words = ["--data", str(tmp_path / "drawings"), "--set", override]
    assert main(["fit", "--name", "x", "--store", str(tmp_path / "store"), *words]) == 1
    said = capsys.readouterr().err
    assert advice in said
    assert "images looked at" not in said


@pytest.mark.parametrize(
    "override",
    [
        "max_steps=10",
        "network.branches.0.grid=2",  # Goes with pooling=grid, which the choice may bring.
        "sampling.options={images: 3, classes: 4}",
        "start.projection=null",
    ],
)
def test_what_may_go_with_the_recipe_that_will_be_chosen_is_not(override):
    check_overrides("photos", [override])
