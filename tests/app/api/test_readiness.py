"""Readiness, and models that change while they are served."""

import concurrent.futures
import shutil

import httpx
import pytest

from model_store import ModelStore
from tests.app.material import CALIBRATION, fill_store, network, picture
from tests.app.serving import Running, in_thread, wait_until


def compare(running: Running, model: str | None = None) -> httpx.Response:
    files = {"image_a": picture(1), "image_b": picture(2)}
    return running.client.post("/compare", files=files, data={"model": model} if model else None)


def test_an_empty_store_is_unready_until_a_model_comes(tmp_path) -> None:
    with in_thread(tmp_path, wait=False) as running:
        client = running.client
        wait_until(lambda: "holds no model" in client.get("/readyz").json()["detail"])
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/livez").status_code == 200
        refused = compare(running)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/models").json() == {"default": None, "models": [], "failed": []}
        # Probes are told what they ask for, and only the comparison was refused.
        rejected = running.service.metrics.registry.get_sample_value(
            "twinlens_rejections_total", {"reason": "not-ready"}
        )
        assert rejected == 1
        ModelStore(tmp_path).save("tiny", network())
        wait_until(lambda: client.get("/readyz").status_code == 200)
        # The only model is the default one.
        assert compare(running).json()["model"] == "tiny"


def test_a_store_that_is_no_folder_says_so_and_not_that_it_is_empty(tmp_path) -> None:
    root = tmp_path / "models"
    root.write_text("not a folder")
    with in_thread(root, wait=False) as running:
        client = running.client
        wait_until(lambda: "cannot be read" in client.get("/readyz").json()["detail"])
        reload = client.post("/admin/reload")
        assert reload.status_code == 503
        assert str(root) in reload.json()["detail"]
        root.unlink()
        fill_store(root)
        wait_until(lambda: client.get("/readyz").status_code == 200)


def test_a_store_of_broken_models_says_why(tmp_path) -> None:
    path = ModelStore(tmp_path).save("tiny", network()).path
    (path / "weights.safetensors").write_bytes(b"nothing")
    with in_thread(tmp_path, wait=False) as running:
        client = running.client
        wait_until(lambda: "weights.safetensors" in client.get("/readyz").json()["detail"])
        assert client.get("/models").json()["failed"][0]["version"] == 1


def test_a_start_with_an_index_that_cannot_be_read_is_unready_until_it_can(tmp_path) -> None:
    store = fill_store(tmp_path)
    index = tmp_path / "store.json"
    good = index.read_text()
    index.write_text("{")
    with in_thread(tmp_path, wait=False) as running:
        client = running.client
        wait_until(lambda: str(index) in client.get("/readyz").json()["detail"])
        assert client.get("/readyz").status_code == 503
        assert compare(running, model="plain").status_code == 200, "what is loaded answers"
        refused = compare(running)
        assert refused.status_code == 404
        assert str(index) in refused.json()["detail"]
        index.write_text(good)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert compare(running).json()["model"] == "tiny"
        # What was read once goes on.
        index.write_text("{")
        store.save("plain", network(seed=10))
        wait_until(lambda: running.service.catalogue.models["plain"].version == 2)
        assert client.get("/readyz").status_code == 200
        assert compare(running).json()["model"] == "tiny"


def test_a_start_without_the_default_model_is_unready_until_it_is_there(tmp_path) -> None:
    store = fill_store(tmp_path)
    weights = store.find("tiny").path / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-100])
    with in_thread(tmp_path, wait=False) as running:
        client = running.client
        wait_until(lambda: "'tiny' is not loaded" in client.get("/readyz").json()["detail"])
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "weights.safetensors" in answer.json()["detail"]
        assert running.service.metrics.registry.get_sample_value("twinlens_ready") == 0
        assert compare(running, model="plain").status_code == 200, "what is loaded answers"
        weights.write_bytes(good)
        wait_until(lambda: client.get("/readyz").status_code == 200)
        # What has served goes on for those who name a model.
        shutil.rmtree(tmp_path / "tiny")
        wait_until(lambda: compare(running).status_code == 404)
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("foto", "; import or train it, "),
        ("photos", " python -m model_store import photos --store {store}, "),
    ],
)
def test_a_default_model_that_is_not_there_is_named_by_readyz(tmp_path, name, advice) -> None:
    fill_store(tmp_path)
    with in_thread(tmp_path, wait=False, default_model=name) as running:
        wait_until(lambda: f"'{name}' is not" in running.client.get("/readyz").json()["detail"])
        answer = running.client.get("/readyz")
        assert answer.status_code == 503
        # The store is the service's, which is no other shell's.
        assert advice.format(store=tmp_path) in answer.json()["detail"]
        assert f"default NAME --store {tmp_path} or" in answer.json()["detail"]
        assert "TWINLENS_DEFAULT_MODEL" in answer.json()["detail"]


def test_a_new_version_is_switched_to_without_losing_a_request(tmp_path) -> None:
    store = fill_store(tmp_path)
    with in_thread(tmp_path) as running:
        versions: list[int] = []
        statuses: set[int] = set()

        def ask() -> None:
            with httpx.Client(base_url=running.client.base_url, timeout=30) as client:
                while not versions or versions[-1] < 2 or len(versions) < 40:
                    answer = client.post(
                        "/compare", files={"image_a": picture(1), "image_b": picture(2)}
                    )
                    statuses.add(answer.status_code)
                    versions.append(answer.json()["version"])

        with concurrent.futures.ThreadPoolExecutor() as pool:
            asking = pool.submit(ask)
            store.save("tiny", network(seed=20), calibration=CALIBRATION)
            asking.result(60)
        assert statuses == {200}
        assert versions == sorted(versions)

        # A bad third version is refused; the second goes on. It comes bad: were it damaged in its
        # place, it could be loaded before.
        bad = ModelStore(tmp_path.with_name(f"{tmp_path.name}-bad")).save("tiny", network()).path
        (bad / "manifest.json").write_text("{}")
        bad.rename(tmp_path / "tiny" / "3")
        client = running.client
        wait_until(
            lambda: any(
                failed["name"] == "tiny" and failed["version"] == 3
                for failed in client.get("/models").json()["failed"]
            )
        )
        assert compare(running).json()["version"] == 2

        # Default and aliases follow.
        store.set_default("plain")
        wait_until(lambda: client.get("/models").json()["default"] == "plain")
        assert compare(running).json()["model"] == "plain"
