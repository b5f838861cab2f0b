"""A trained network as it will be read back from the store."""

import torch

from model_store.checkpoint import STORED_TYPES
from model_store.manifest import StoredType
from model_store.network import SiameseNetwork
from training.errors import LOWER_RATE, Derailed


def stored_as(network: SiameseNetwork, wanted: StoredType) -> tuple[StoredType, str | None]:
    """What a network's weights are stored as, and why, where that is not what the recipe wants.

    A value that a smaller type has no room for would be infinite in it.

    Args:
        network: Its values are numbers.
        wanted: What the recipe wants.
    """
    most = torch.finfo(STORED_TYPES[wanted]).max
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and bool((tensor.abs() > most).any()):
            return "float32", (
                f"{name} has values of up to {float(tensor.abs().max()):.3g}, over the "
                f"{most:,.0f} that {wanted} has room for, so the weights are stored as float32; if "
                "that is not to be, try a lower learning rate"
            )
    return wanted, None


def as_stored(network: SiameseNetwork, wanted: StoredType) -> SiameseNetwork:
    """Rounds a network's weights to what will be read back, so that figures are of what ships.

    Args:
        network: It is changed.
        wanted: As `stored_as` takes it.

    Raises:
        Derailed: Not all of its weights are numbers.
    """
    values = network.state_dict()
    for name, tensor in values.items():
        if not bool(torch.isfinite(tensor).all()):
            raise Derailed.unless(f"{name} has values that are no numbers; ", LOWER_RATE)
    stored = STORED_TYPES[stored_as(network, wanted)[0]]
    network.load_state_dict(
        {
            name: tensor.to(stored).to(tensor.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in values.items()
        }
    )
    return network.eval()
