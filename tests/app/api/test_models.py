"""What is said of a model that is wider than high, in a store whose default is an alias."""

from dataclasses import replace

from app.inference.catalogue import LoadedModel
from tests.app.material import SPEC
from tests.app.serving import Running


def test_a_model_is_described_as_its_manifest_has_it(server: Running) -> None:
    before = server.service.catalogue
    tiny = before.models["tiny"]
    wide = tiny.manifest.model_copy(
        update={
            "preprocessing": SPEC.model_copy(update={"height": 24, "width": 48}),
            "description": "Wide.",
        }
    )
    models = {**before.models, "tiny": LoadedModel(wide, tiny.network, tiny.engine)}
    server.service._library._catalogue = replace(before, models=models, default="small")
    try:
        told = server.client.get("/models").json()
    finally:
        server.service._library._catalogue = before
    assert told["default"] == "tiny", "no alias"
    (model,) = (model for model in told["models"] if model["default"])
    assert (model["name"], model["description"]) == ("tiny", "Wide.")
    assert (model["input"]["height"], model["input"]["width"]) == (24, 48)
