import itertools

import numpy as np
import pytest
import torch

from app.inference.catalogue import LoadedModel
from app.inference.errors import InvalidInput
from app.inference.scoring import check_values, judge
from model_store import ModelStore
from model_store.metric import Metric
from model_store.network.comparators import COMPARATORS
from tests.app.material import CALIBRATION, DIMENSION, MeanEngine, network


def model(tmp_path, comparator: str, *, sides: int = 1, calibrated: bool = True) -> LoadedModel:
    store = ModelStore(tmp_path)
    store.save(
        "m", network(comparator, sides=sides), calibration=CALIBRATION if calibrated else None
    )
    checkpoint = store.load("m")
    return LoadedModel(checkpoint.manifest, checkpoint.network, MeanEngine())


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


@pytest.mark.parametrize("comparator", ["cosine", "euclidean", "absolute-difference-sigmoid"])
def test_many_at_once_equal_one_at_a_time(tmp_path, comparator: str) -> None:
    loaded = model(tmp_path, comparator)
    query, rows = embeddings(1)[0], embeddings(5000, seed=1)
    found = judge(loaded, query, rows)
    metric = loaded.manifest.metric
    for index in (0, 1, 2047, 2048, 4999):
        with torch.inference_mode():
            score = float(
                loaded.network.comparator(
                    torch.from_numpy(query)[None], torch.from_numpy(rows[index])[None]
                )
            )
        assert found.scores[index] == pytest.approx(score, abs=1e-5)
        one = float(found.scores[index])
        assert found.probabilities[index] == pytest.approx(CALIBRATION.probability(one, metric))
        assert found.same[index] == CALIBRATION.same(one, metric)
    assert found.threshold == CALIBRATION.threshold


def test_an_ordered_comparator_is_averaged_over_both_orders(tmp_path) -> None:
    loaded = model(tmp_path, "signed-difference-sigmoid")
    one, two = embeddings(2)
    comparator = loaded.network.comparator
    with torch.inference_mode():
        forth = float(comparator(torch.from_numpy(one)[None], torch.from_numpy(two)[None]))
        back = float(comparator(torch.from_numpy(two)[None], torch.from_numpy(one)[None]))
    assert forth != pytest.approx(back, abs=1e-4)
    assert judge(loaded, one, two[None]).scores[0] == pytest.approx((forth + back) / 2, abs=1e-6)
    assert judge(loaded, two, one[None]).scores[0] == judge(loaded, one, two[None]).scores[0]


def test_two_branches_keep_their_order(tmp_path) -> None:
    loaded = model(tmp_path, "signed-difference-sigmoid", sides=2)
    one, two = embeddings(2)
    with torch.inference_mode():
        forth = float(
            loaded.network.comparator(torch.from_numpy(one)[None], torch.from_numpy(two)[None])
        )
    assert judge(loaded, one, two[None]).scores[0] == pytest.approx(forth, abs=1e-6)


def test_without_calibration_there_is_no_decision(tmp_path) -> None:
    found = judge(model(tmp_path, "cosine", calibrated=False), embeddings(1)[0], embeddings(2, 1))
    assert found.probabilities is found.same is found.threshold is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_wherever_it_stands(tmp_path, value: float) -> None:
    loaded = model(tmp_path, "cosine")
    many = np.ones((40_000, loaded.manifest.dimension), np.float32)
    many[-1, -1] = value
    with pytest.raises(InvalidInput, match=r"^candidates\[39999\]: an embedding must hold finite"):
        judge(loaded, many[0], many)


def test_only_embeddings_that_are_too_long_themselves_are_refused() -> None:
    rows = np.zeros((40, 4), np.float32)
    rows[:, 0] = 3e18
    check_values("candidates", rows)
    rows[7, 1] = 1e19
    with pytest.raises(InvalidInput, match=r"^candidates: values too large"):
        check_values("candidates", rows)
    with pytest.raises(InvalidInput, match=r"^candidates\[107\]: values too large"):
        check_values("candidates", rows, first=100)


@pytest.mark.parametrize("comparator", sorted(COMPARATORS))
def test_every_score_is_a_number_or_refused(tmp_path, comparator: str) -> None:
    loaded = model(tmp_path, comparator, calibrated=False)
    for value, sign in itertools.product((1e10, 7e17, 1e20, 3e38), (1, -1)):
        left = np.full(loaded.manifest.dimension, value, np.float32)
        try:
            (score,) = judge(loaded, left, sign * left[None]).scores
        except InvalidInput as error:
            assert value > 1e10
            assert "too large" in str(error)
        else:
            assert np.isfinite(score)
            if loaded.manifest.metric is Metric.COSINE_SIMILARITY:
                assert score == pytest.approx(sign)


def test_what_a_comparator_makes_too_large_is_refused(tmp_path) -> None:
    loaded = model(tmp_path, "absolute-difference-sigmoid")
    with torch.no_grad():
        for layer in loaded.network.comparator.layers:
            layer.weight.copy_(torch.where(torch.arange(layer.weight.shape[1]) % 2 == 0, 1, -1))
            layer.weight.mul_(1e25)
    left = np.full(loaded.manifest.dimension, 5e17, np.float32)
    with pytest.raises(InvalidInput, match="too large for model 'm'"):
        judge(loaded, left, -left[None])


@pytest.mark.parametrize("comparator", ["cosine", "euclidean"])
def test_same_begins_at_the_threshold_itself(tmp_path, comparator: str) -> None:
    loaded = model(tmp_path, comparator)
    query, rows = embeddings(1)[0], embeddings(9, seed=1)
    scores = judge(loaded, query, rows).scores
    middle = float(np.sort(scores)[4])
    calibration = CALIBRATION.model_copy(update={"threshold": middle})
    manifest = loaded.manifest.model_copy(update={"calibration": calibration})
    found = judge(LoadedModel(manifest, loaded.network, MeanEngine()), query, rows)
    assert found.threshold == middle
    assert found.same is not None
    alike = scores >= middle if comparator == "cosine" else scores <= middle
    assert found.same.tolist() == alike.tolist()
    assert found.same.sum() == 5, "the one at the threshold among them"
