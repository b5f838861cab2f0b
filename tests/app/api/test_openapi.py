"""The OpenAPI document, against what the service takes and answers."""

import json

import httpx
import pytest

from tests.app.material import DIMENSION, picture


def test_operations_are_named_as_a_client_library_would_name_them(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    names = {way["operationId"] for ways in paths.values() for way in ways.values()}
    assert {"compare", "compare_many", "embed", "models", "model", "readyz"} <= names
    assert all(name.isidentifier() for name in names)


def test_the_openapi_document_describes_every_body(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    paths = document["paths"]
    types = {
        path: set(paths[path]["post"]["requestBody"]["content"])
        for path in ("/compare", "/compare/many", "/embed")
    }
    both = {"multipart/form-data", "application/json"}
    assert types == {"/compare": both, "/compare/many": both, "/embed": {*both, "image/*"}}
    form = paths["/compare"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image_a", "image_b"]
    references = {
        part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]
    }
    assert references <= set(document["components"]["schemas"])
    assert "Problem" in references


def test_programs_made_from_the_openapi_document_send_nothing_that_nobody_chose(
    client: httpx.Client,
) -> None:
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for operation in operations.values():
            asked = [operation.get("parameters", []), operation.get("requestBody", {})]
            assert '"default"' not in json.dumps(asked), path


@pytest.mark.parametrize(
    ("path", "chosen"),
    [
        ("/compare", {"image_a": picture(1), "image_b": picture(2)}),
        ("/embed", {"images": picture(1)}),
        ("/compare/many", {"query": picture(1), "candidates": picture(2)}),
        ("/compare/many", {"query": picture(1), "embeddings": bytes(4 * DIMENSION)}),
    ],
)
def test_a_form_is_read_with_what_its_examples_and_unchosen_files_put_into_it(
    client: httpx.Client, path: str, chosen: dict[str, bytes]
) -> None:
    post = client.get("/openapi.json").json()["paths"][path]["post"]
    properties = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert properties["model"]["example"] == ""
    empty = {name: "" for name in properties if name not in (*chosen, "side")}
    answer = client.post(path, files=chosen, data=empty)
    assert answer.status_code == 200, answer.text


def test_the_openapi_document_promises_no_errors_but_problems(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert not any("ValidationError" in name for name in document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert [*answer["content"]] == ["application/problem+json"], (path, status)
    (name,) = document["paths"]["/models/{name}"]["get"]["parameters"]
    assert (name["name"], name["in"], name["required"]) == ("name", "path", True)


def test_the_openapi_document_tells_what_every_route_may_answer(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            assert {"200", "400", "431"} <= answers.keys(), path
            for status, answer in answers.items():
                named = {*answer["headers"]}
                assert "X-Request-ID" in named, (path, status)
                assert ("Retry-After" in named) is (status in {"429", "503"}), (path, status)
    references = {
        part.split('"')[0] for part in json.dumps(document).split('"#/components/headers/')[1:]
    }
    assert references == document["components"]["headers"].keys()
    raw = document["paths"]["/embed"]["post"]["responses"]["200"]["headers"]
    assert all(
        "raw float32 only" in header["description"]
        for name, header in raw.items()
        if name.startswith("X-Twinlens-")
    )
    # As it says, of a route that reads no parameter at all.
    assert client.get(f"/livez?{'&' * 64}").status_code == 400
    refused = client.get("/livez", headers={"x-long": "x" * 100_000})
    assert refused.status_code == 431
    assert refused.headers["x-request-id"]


def test_the_openapi_document_tells_of_every_field_of_an_answer_that_it_is_there(
    client: httpx.Client,
) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name, schema in schemas.items():
        assert {*schema.get("required", ())} == {*schema.get("properties", ())}, name
        # Of classes that clients do not see.
        assert "As `" not in schema.get("description", ""), name
    calibration = client.get("/models/tiny").json()["calibration"]
    assert calibration.keys() == {*schemas["Calibration"]["required"]}
    assert calibration["curve"].keys() == {*schemas["LogisticCurve"]["required"]}


def test_examples_are_what_the_service_answers(client: httpx.Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    files = {"image_a": picture(1), "image_b": picture(2)}
    answers = {
        "ComparisonAnswer": client.post("/compare", files=files),
        "Problem": client.get("/models/absent"),
    }
    for name, answer in answers.items():
        example = schemas[name]["example"]
        assert example.keys() == answer.json().keys()
        for key, value in answer.json().items():
            assert value is None or type(example[key]) is type(value), key
