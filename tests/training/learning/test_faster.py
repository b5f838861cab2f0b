"""Which precision `auto` becomes. How fast a CPU is cannot be chosen here: times are given."""

import pytest
import torch

from tests.training.drawings import SMALL_RECIPE, write_recipe
from training.learning import faster
from training.recipe import Recipe
from training.recipe.files import load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def recipe(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))
    return lambda *overrides: load_recipe(path, ["precision=auto", *overrides])


def settled_precision(recipe: Recipe, device: torch.device) -> tuple[Recipe, str]:
    """The outcome, and what was said of it."""
    said: list[str] = []
    settled = faster.settled_precision(recipe, device, said.append)
    return settled, "".join(said)


def taking(monkeypatch, float32: float, bf16: float) -> None:
    monkeypatch.setattr(faster, "_pass", lambda *_, half: bf16 if half else float32)


@pytest.mark.parametrize("named", ["float32", "bf16"])
def test_what_is_named_stays(recipe, monkeypatch, named):
    taking(monkeypatch, 1.0, 0.1)
    mine = recipe(f"precision={named}")
    assert settled_precision(mine, CPU) == (mine, "")


def test_nothing_is_timed_where_nothing_is_trained(recipe, monkeypatch):
    taking(monkeypatch, 1.0, 0.1)
    mine = recipe("max_steps=0")
    assert settled_precision(mine, CPU) == (mine, "")


def test_a_gpu_computes_in_bf16(recipe):
    settled, _ = settled_precision(recipe(), torch.device("cuda"))
    assert settled.precision == "bf16"


@pytest.mark.parametrize(
    ("float32", "bf16", "expected"),
    [
        (1.0, 0.5, "bf16"),
        (1.0, 0.9, "float32"),  # By chance it may be the other way round.
        (1.0, 1.7, "float32"),
        (0.01, 0.005, "float32"),  # Too short to be timed surely.
    ],
)
def test_the_faster_one_by_far_is_taken(recipe, monkeypatch, float32, bf16, expected):
    taking(monkeypatch, float32, bf16)
    settled, said = settled_precision(recipe(), CPU)
    assert settled == recipe(f"precision={expected}")
    assert said == ("computing in bf16, in which this CPU trains 2.0 times as fast" if said else "")
    assert bool(said) == (expected == "bf16")


@pytest.mark.parametrize(
    ("few", "many", "expected"),
    [(0.001, 0.1, "bf16"), (0.03, 0.1, "bf16"), (0.001, 0.01, "float32")],
)
def test_more_images_where_a_pass_of_few_is_too_short(recipe, monkeypatch, few, many, expected):
    counts = []

    def takes(_, images, *, half):
        counts.append(len(images))
        return (few if len(images) == 4 else many) / (2 if half else 1)

    monkeypatch.setattr(faster, "_pass", takes)
    settled, _ = settled_precision(recipe(), CPU)
    assert settled.precision == expected
    assert set(counts) == ({4} if few > 0.02 else {4, 32})


def test_timing_draws_nothing_from_the_callers_randomness(recipe):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    settled, _ = settled_precision(recipe(), CPU)
    assert settled.precision in ("float32", "bf16")
    assert torch.equal(torch.rand(4), expected)
