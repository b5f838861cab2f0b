"""Weights between those that training started from and those it came to."""

import pytest
import torch

from tests.training import small as tiny
from tests.training.drawings import SMALL_RECIPE, write_recipe
from tests.training.learning.test_learner import CPU, taught
from training.errors import RecipeError
from training.learning.anchor import Anchor
from training.learning.learner import Learner
from training.recipe import Recipe
from training.recipe.files import load_recipe
from training.run.state import Standing, from_bytes, to_bytes


@pytest.fixture
def recipe(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))

    def load(*overrides: str) -> Recipe:
        return load_recipe(path, ["start={model: m, share: 0.75}", *overrides])

    return load


class TestAnchor:
    def test_three_quarters_of_one_and_a_quarter_of_the_other(self):
        start, trained = tiny.network(seed=0), tiny.network(seed=1)
        anchor = Anchor(start, 0.75)
        kept = anchor.between(trained).state_dict()
        one, other = start.state_dict(), trained.state_dict()
        for name, tensor in kept.items():
            if tensor.is_floating_point():
                wanted = 0.75 * one[name].double() + 0.25 * other[name].double()
                assert tensor.double().numpy() == pytest.approx(wanted.numpy(), abs=1e-6)
            else:
                assert torch.equal(tensor, other[name])

    def test_running_statistics_lie_between_too(self):
        start, trained = tiny.network(), tiny.network()
        name = "branches.0.backbone.stem.1.running_var"
        trained.state_dict()[name].fill_(5.0)
        kept = Anchor(start, 0.75).between(trained)
        assert kept.state_dict()[name].numpy() == pytest.approx(2.0)

    def test_neither_network_changes(self):
        start, trained = tiny.network(seed=0), tiny.network(seed=1)
        before = [
            {name: tensor.clone() for name, tensor in network.state_dict().items()}
            for network in (start, trained)
        ]
        Anchor(start, 0.5).between(trained)
        for network, tensors in zip((start, trained), before, strict=True):
            for name, tensor in network.state_dict().items():
                assert torch.equal(tensor, tensors[name])


class TestLearner:
    @pytest.mark.parametrize("mean", ["mean_decay=0.9", "mean_decay=null"])
    def test_what_is_kept_lies_between_the_start_and_what_was_trained(self, recipe, mean):
        learner = Learner(recipe(mean), 5, CPU)
        name = "branches.0.projection.0.weight"
        start = learner.network.state_dict()[name].clone()
        taught(learner, range(3))
        trained = learner.network if learner.mean is None else learner.mean.network
        wanted = 0.75 * start + 0.25 * trained.state_dict()[name]
        assert not torch.allclose(trained.state_dict()[name], start)
        torch.testing.assert_close(learner.result.state_dict()[name], wanted)

    def test_without_a_share_it_is_the_trained_network_itself(self, recipe):
        learner = Learner(recipe("start.share=0", "mean_decay=null"), 5, CPU)
        assert learner.result is learner.network

    def test_a_run_that_goes_on_keeps_where_it_started(self, recipe):
        learner = taught(Learner(recipe(), 5, CPU), range(2))
        other = Learner(recipe("seed=1"), 5, CPU)
        from_bytes(to_bytes(learner, Standing(step=2)), other)
        wanted = learner.result.state_dict()
        for name, tensor in other.result.state_dict().items():
            assert torch.equal(tensor, wanted[name])


def test_a_share_of_weights_that_were_drawn_is_refused(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))
    with pytest.raises(RecipeError, match=r"start\.share|share of the starting weights"):
        load_recipe(path, ["start={share: 0.5}"])
