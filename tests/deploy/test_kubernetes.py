"""What kustomize makes of the overlays, against the schemas of Kubernetes and of the operator."""

import functools
import tempfile
from pathlib import Path

import pytest
import yaml

from app.settings import Settings
from tests.deploy.stores import check_filling
from tests.deploy.tools import DEPLOY, REPOSITORY, tool

KUBERNETES = DEPLOY / "kubernetes"
STORES = ("", "store-claim", "store-sync")


@functools.cache
def built(overlay: str, store: str = "") -> dict[str, dict]:
    """The resources of an overlay, with one of the components that it offers, by kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        # kustomize reads no absolute paths.
        up = Path(*[".."] * (len(folder.parts) - 1), *KUBERNETES.parts[1:])
        lines = ["kind: Kustomization", f"resources: [{up}/overlays/{overlay}]"]
        if store:
            lines.append(f"components: [{up}/components/{store}]")
        (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
        documents = list(yaml.safe_load_all(tool("kubectl", "kustomize", folder)))
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
@pytest.mark.parametrize("store", STORES)
def test_every_resource_is_valid(overlay, store):
    schemas = pytest.importorskip("kubernetes_validate")
    for kind, resource in built(overlay, store).items():
        if kind != "ServiceMonitor":
            schemas.validate(resource, "1.32", strict=True)


def test_the_service_monitor_is_valid():
    operator = pytest.importorskip("cloudcoil.models.prometheus_operator.v1")
    operator.ServiceMonitor.model_validate(built("cpu")["ServiceMonitor"])


def deployment(resources: dict[str, dict]) -> dict:
    return resources["Deployment"]["spec"]["template"]["spec"]


def test_a_pod_has_the_time_that_draining_takes():
    pod = deployment(built("cpu"))
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = Settings.model_fields["drain_seconds"].default
    assert pod["terminationGracePeriodSeconds"] >= pause + drain + 5


@pytest.mark.parametrize(
    ("overlay", "composition"), [("cpu", "docker-compose.yml"), ("gpu", "docker-compose.gpu.yml")]
)
def test_a_pod_has_the_memory_that_a_replica_takes(overlay, composition):
    resources = deployment(built(overlay))["containers"][0]["resources"]
    asked, most = (
        int(resources[kind]["memory"].removesuffix("Gi")) for kind in ("requests", "limits")
    )
    # 1.6 GB with the models of the image, before the first request.
    assert 2 <= asked <= most
    assert f"{{TWINLENS_MEMORY:-{most}g}}" in (REPOSITORY / composition).read_text()


def test_all_three_probes_ask_the_right_question():
    container = deployment(built("cpu"))["containers"][0]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}


def test_every_selector_finds_the_pods_and_nothing_else():
    resources = built("gpu")
    label = {"app.kubernetes.io/name": "twinlens"}
    matching = {"matchLabels": label}
    assert resources["Deployment"]["spec"]["selector"] == matching
    assert resources["Deployment"]["spec"]["template"]["metadata"]["labels"] == label
    assert resources["PodDisruptionBudget"]["spec"]["selector"] == matching
    assert resources["NetworkPolicy"]["spec"]["podSelector"] == matching
    assert resources["ServiceMonitor"]["spec"]["selector"] == matching
    assert resources["Service"]["spec"]["selector"] == label
    assert resources["Service"]["metadata"]["labels"] == label


def test_no_setting_comes_from_the_name_of_the_service():
    # A Service called twinlens would otherwise set TWINLENS_PORT=tcp://….
    assert deployment(built("cpu"))["enableServiceLinks"] is False


def test_the_autoscaler_asks_for_what_the_adapter_gives():
    custom = yaml.safe_load((KUBERNETES / "prometheus-adapter" / "values.yaml").read_text())
    given = {
        rule.get("name", {}).get("as", rule["seriesQuery"].split("{")[0])
        for rule in custom["rules"]["custom"]
    }
    metrics = built("cpu")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert {metric["pods"]["metric"]["name"] for metric in metrics} == given


@pytest.mark.parametrize("store", STORES[1:])
def test_a_store_is_filled_before_the_service_reads_it(store):
    pod = deployment(built("gpu", store))
    (initial,) = pod["initContainers"]
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in pod["containers"][0][
        "volumeMounts"
    ]
    assert "models" in [mount["name"] for mount in initial["volumeMounts"]]
    assert "models" in [volume["name"] for volume in pod["volumes"]]


def test_a_claim_is_filled_and_keeps_what_it_has(tmp_path):
    (initial,) = deployment(built("cpu", "store-claim"))["initContainers"]
    assert {"name": "models", "mountPath": "/store"} in initial["volumeMounts"]
    check_filling(initial["command"], tmp_path)
