"""Parts of a recipe: their options have the types that they declare, wherever they are built."""

import pytest
import torch

from training.components import Component, build
from training.data.sampling import SAMPLERS, ClassTable
from training.errors import RecipeError
from training.losses import LOSSES
from training.schedules import SCHEDULES


def test_a_whole_number_may_be_written_with_a_point():
    labels = torch.arange(4).repeat_interleave(3).numpy()
    table = ClassTable(labels, labels[:4])
    part = Component(name="classes-by-images", options={"images": 3.0})
    assert len(build(SAMPLERS, "sampler", part, table, 6, 0).draw(0).indices) == 6


def test_an_option_inside_another_is_held_to_its_type_too():
    parts = [{"name": "triplet-margin", "options": {"mining": "foo"}}]
    with pytest.raises(RecipeError, match=r"'mining' cannot be 'foo'.*'semi-hard'"):
        build(LOSSES, "loss", Component(name="total", options={"parts": parts}), 8, 4)


def test_what_is_no_list_of_parts_is_refused():
    with pytest.raises(RecipeError, match="'parts' cannot be 'x'"):
        build(LOSSES, "loss", Component(name="total", options={"parts": "x"}), 8, 4)


def test_values_that_a_part_refuses_itself_are_refused_as_before():
    with pytest.raises(RecipeError, match="must be above 0"):
        build(SCHEDULES, "schedule", Component(name="step", options={"every": 0}))
