import math

import torch

from tests import tiny
from training.learning.averaging import MeanWeights


def test_the_mean_of_weights_equals_the_loop():
    network = tiny.network("euclidean")
    mean = MeanWeights(network, 0.9)
    name = "branches.0.projection.0.weight"
    expected = network.state_dict()[name].clone().double()
    for step in range(12):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * math.sin(step))
        mean.update(network, step)
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * network.state_dict()[name].double()
    torch.testing.assert_close(
        mean.network.state_dict()[name].double(), expected, atol=1e-5, rtol=0
    )


def test_batches_that_were_counted_are_no_mean():
    network = tiny.network("euclidean")
    mean = MeanWeights(network, 0.9)
    name = "branches.0.backbone.stem.1.num_batches_tracked"
    network.state_dict()[name].fill_(7)
    mean.update(network, 0)
    assert mean.network.state_dict()[name] == 7
