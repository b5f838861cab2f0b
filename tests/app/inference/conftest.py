import openvino as ov
import pytest
import torch

from app.inference.engines import converted
from model_store.network import SiameseNetwork, Side
from tests.app.inference.conversions import in_openvino
from tests.app.material import network


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder under test gets what was converted before instead of converting again."""

    def convert(made: SiameseNetwork, side: Side) -> ov.Model:
        weights = next(made.parameters())
        seed = next(n for n in (0, 1) if torch.equal(weights, next(network(seed=n).parameters())))
        return in_openvino(seed)[side].clone()

    monkeypatch.setattr(converted, "convert", convert)
