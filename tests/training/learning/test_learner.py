"""Frozen backbones, their own learning rate, and half precision."""

import math

import pytest
import torch

from tests.training.drawings import SMALL_RECIPE, write_recipe
from tests.training.learning.test_workers import making
from training.errors import RecipeError
from training.learning.learner import Learner
from training.learning.optimisation import backbone_parameters
from training.recipe import Freeze, Recipe
from training.recipe.files import load_recipe
from training.run.state import Standing, from_bytes, to_bytes

CPU = torch.device("cpu")


@pytest.fixture
def recipe(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))

    def load(*overrides: str) -> Recipe:
        return load_recipe(path, overrides)

    return load


def taught(learner: Learner, steps: range) -> Learner:
    each = learner.recipe.batches_per_step
    for step in steps:
        learner.step([making(each * step + part) for part in range(each)], step, 0.5)
    return learner


def backbone_state(learner: Learner) -> dict[str, torch.Tensor]:
    backbone = learner.network.branches[0].backbone
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class TestFreeze:
    @pytest.mark.parametrize("batches", [1, 3])
    def test_nothing_of_the_backbone_changes_until_its_time(self, recipe, batches):
        settings = (f"batches_per_step={batches}", "optimiser.weight_decay=0.1", "mean_decay=null")
        learner = Learner(recipe(*settings), 5, CPU, frozen_steps=2.5)
        before, projection = (
            backbone_state(learner),
            learner.network.branches[0].projection[0].weight.clone(),
        )
        taught(learner, range(3))
        assert alike(backbone_state(learner), before)
        assert not torch.equal(learner.network.branches[0].projection[0].weight, projection)
        taught(learner, range(3, 4))
        after = backbone_state(learner)
        changed = [name for name in before if not torch.equal(before[name], after[name])]
        assert "stem.0.weight" in changed
        assert "stem.1.running_mean" in changed

    def test_resumes_exactly_before_and_after_the_thaw(self, recipe):
        whole = taught(Learner(recipe(), 5, CPU, frozen_steps=2), range(5))
        for stop in (1, 3):
            first = taught(Learner(recipe(), 5, CPU, frozen_steps=2), range(stop))
            second = Learner(recipe(), 5, CPU, frozen_steps=2)
            from_bytes(to_bytes(first, Standing(step=stop)), second)
            taught(second, range(stop, 5))
            assert alike(second.network.state_dict(), whole.network.state_dict())

    def test_for_epochs_or_for_good(self):
        assert Freeze(backbone_epochs=1.5).steps(10.0) == 15
        assert Freeze(backbone_epochs="all").steps(10.0) == math.inf
        assert Freeze().steps(10.0) == 0

    @pytest.mark.parametrize("batches", [1, 3])
    def test_running_statistics_can_stay_while_weights_learn(self, recipe, batches):
        settings = (f"batches_per_step={batches}", "freeze.statistics=true", "mean_decay=null")
        learner = Learner(recipe(*settings), 5, CPU)
        before = backbone_state(learner)
        taught(learner, range(3))
        after = backbone_state(learner)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert not {name for name in changed if "running" in name or "tracked" in name}
        assert {name for name in changed if name.endswith("weight")}

    def test_a_frozen_network_with_nothing_behind_is_refused(self, recipe):
        bare = recipe(
            "network.branches.0.projection=null",
            "network.branches.0.batch_norm=false",
            "loss.name=supervised-contrastive",
        )
        with pytest.raises(RecipeError, match="nothing learns"):
            Learner(bare, 5, CPU, frozen_steps=1)


def test_the_backbone_has_its_own_rate(recipe):
    plain = (
        "optimiser.name=sgd",
        "optimiser.momentum=0",
        "optimiser.weight_decay=0",
        "mean_decay=null",
    )
    moved = []
    for factor in (1.0, 0.1):
        settings = (*plain, f"optimiser.backbone_factor={factor}")
        learner = Learner(recipe(*settings), 5, CPU)
        inside = {id(parameter) for parameter in backbone_parameters(learner.network)}
        before = [(p, p.detach().clone(), id(p) in inside) for p in learner.network.parameters()]
        taught(learner, range(1))
        moved.append([(p.detach() - old, within) for p, old, within in before])
    for (whole, within), (scaled, _) in zip(*moved, strict=True):
        expected = 0.1 * whole if within else whole
        torch.testing.assert_close(scaled, expected, atol=1e-7, rtol=1e-3)


def scaled_by(learner: Learner, factor: float) -> Learner:
    scaler = learner.precision.scaler
    scaler.load_state_dict({**scaler.state_dict(), "scale": factor})
    return learner


class TestFloat16:
    def test_the_gradients_are_those_of_float32(self, recipe):
        found = []
        for precision in ("fp16", "float32"):
            chosen = recipe(f"precision={precision}", "optimiser.nesterov=false")
            learner = Learner(chosen, 5, CPU)
            if precision == "fp16":
                scaled_by(learner, 256.0)
            taught(learner, range(1))
            gradients = [p.grad.flatten() for p in learner.network.branches.parameters()]
            found.append(torch.cat(gradients))
        assert torch.cosine_similarity(*found, dim=0) > 0.99
        assert found[0].norm().item() == pytest.approx(found[1].norm().item(), rel=0.05)

    def test_a_gradient_that_overflows_costs_a_step_and_halves_the_factor(self, recipe):
        learner = scaled_by(Learner(recipe("precision=fp16"), 5, CPU), 2.0**100)
        before = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
        taught(learner, range(1))
        assert alike(before, dict(learner.network.named_parameters()))
        assert learner.precision.scaler.get_scale() == 2.0**99

    def test_resumes_exactly_with_its_factor(self, recipe):
        whole = taught(scaled_by(Learner(recipe("precision=fp16"), 5, CPU), 2.0**100), range(2))
        second = Learner(recipe("precision=fp16"), 5, CPU)
        from_bytes(to_bytes(whole, Standing(step=2)), second)
        assert second.precision.scaler.get_scale() == whole.precision.scaler.get_scale()
        taught(whole, range(2, 4))
        taught(second, range(2, 4))
        assert alike(second.network.state_dict(), whole.network.state_dict())
        assert second.precision.scaler.state_dict() == whole.precision.scaler.state_dict()


def test_the_seed_decides_the_weights(recipe):
    drawn = [Learner(recipe(f"seed={seed}"), 5, CPU).network.state_dict() for seed in (3, 3, 4)]
    name = "branches.0.projection.0.weight"
    assert torch.equal(drawn[0][name], drawn[1][name])
    assert not torch.equal(drawn[0][name], drawn[2][name])


def test_the_rate_is_for_all_batches_of_a_step(recipe):
    settings = ("optimiser.reference_batch=4", "optimiser.learning_rate=0.1")
    flat = ("schedule={name: constant, warm_up: 0.5}", "batch=8", "batches_per_step=3")
    learner = Learner(recipe(*settings, *flat), 5, CPU)
    assert learner.learning_rate(0.25) == pytest.approx(0.1 * (8 * 3 / 4) / 2)
    assert learner.learning_rate(0.75) == pytest.approx(0.1 * (8 * 3 / 4))


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_gradients_are_clipped_to_a_length_all_together(recipe, precision):
    lengths = []
    for clip in ("null", "0.01"):
        chosen = recipe(f"clip={clip}", f"precision={precision}", "optimiser.nesterov=false")
        learner = Learner(chosen, 5, CPU)
        if precision == "fp16":
            scaled_by(learner, 256.0)
        taught(learner, range(1))
        gradients = [p.grad.flatten() for p in learner._parameters if p.grad is not None]
        lengths.append(torch.cat(gradients).norm().item())
    assert lengths[0] > 0.1
    assert lengths[1] == pytest.approx(0.01, rel=1e-3)


def test_the_mean_of_weights_counts_the_steps_of_the_run(recipe):
    learner = Learner(recipe("mean_decay=0.9"), 5, CPU)
    name = "branches.0.projection.0.weight"
    expected = learner.network.state_dict()[name].clone()
    for step in range(3):
        taught(learner, range(step, step + 1))
        decay = (step + 1) / (step + 10)
        expected = decay * expected + (1 - decay) * learner.network.state_dict()[name]
    torch.testing.assert_close(learner.result.state_dict()[name], expected)
