"""What a network's weights are rounded to."""

import numpy as np
import pytest
import torch

from tests import tiny
from training.errors import Derailed
from training.storing import as_stored, stored_as


def test_weights_that_a_smaller_type_has_no_room_for_are_stored_whole() -> None:
    network = tiny.network()
    weight = next(parameter for parameter in network.parameters() if parameter.dim() > 1)
    with torch.no_grad():
        weight[0] = 70_000
        weight[1] = 1 / 3
    dtype, why = stored_as(network, "float16")
    assert dtype == "float32"
    assert why is not None
    assert "7e+04, over the 65,504 that float16 has room for" in why
    assert stored_as(network, "float32") == ("float32", None)
    assert as_stored(network, "float16") is network
    assert float(weight.detach().max()) == 70_000
    assert float(weight.detach()[1].max()) == np.float32(1 / 3)
    with torch.no_grad():
        weight[0] = 1
    assert stored_as(network, "float16") == ("float16", None)
    as_stored(network, "float16")
    assert float(weight.detach()[1].max()) == np.float16(1 / 3)


def test_weights_that_are_no_numbers_are_refused() -> None:
    network = tiny.network()
    weight = next(parameter for parameter in network.parameters() if parameter.dim() > 1)
    with torch.no_grad():
        weight[0] = torch.nan
    with pytest.raises(Derailed, match=r"no numbers; begin anew .*learning_rate"):
        as_stored(network, "float32")
