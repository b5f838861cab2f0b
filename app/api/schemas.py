"""What routes read and which errors they give, for programs that read the OpenAPI document."""

from typing import Any

_FILE = {"type": "string", "format": "binary"}
_BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The file's bytes as base64.",
}
# What Swagger UI puts into a form; without an example, the word "string".
_MODEL = {
    "type": "string",
    "example": "",
    "description": "Name or alias of a model; the default one if absent or empty.",
}
_SIDE = {
    "type": "string",
    "enum": ["left", "right"],
    # No `default`: programs made from this document would send it both in the query string and in
    # the body, whatever was chosen in the other.
    "description": "Which side the images are on, left if absent; matters to models with two "
    "branches only.",
}
_EMBEDDING = {"type": "array", "items": {"type": "number"}, "minItems": 1}


def _object(required: list[str], **properties: object) -> dict[str, Any]:
    return {
        "schema": {
            "type": "object",
            "required": required,
            "properties": properties,
            "additionalProperties": False,
        }
    }


def _body(**content: object) -> dict[str, Any]:
    types = {"multipart": "multipart/form-data", "json": "application/json", "raw": "image/*"}
    return {
        "requestBody": {
            "required": True,
            "content": {types[kind]: schema for kind, schema in content.items()},
        }
    }


COMPARE_BODY = _body(
    multipart=_object(["image_a", "image_b"], image_a=_FILE, image_b=_FILE, model=_MODEL),
    json=_object(["image_a", "image_b"], image_a=_BASE64, image_b=_BASE64, model=_MODEL),
)

MANY_BODY = _body(
    multipart=_object(
        ["query"],
        query=_FILE,
        candidates={"type": "array", "items": _FILE, "minItems": 1, "example": [""]},
        embeddings=_FILE
        | {
            "description": "In place of `candidates`: embeddings as /embed gives them for "
            "`Accept: application/octet-stream`, raw little-endian float32."
        },
        model=_MODEL,
    ),
    json=_object(
        ["query", "candidates"],
        query={"oneOf": [_BASE64, _EMBEDDING]},
        candidates={
            "oneOf": [
                {"type": "array", "items": _BASE64, "minItems": 1},
                {"type": "array", "items": _EMBEDDING, "minItems": 1},
            ],
            "description": "Images as base64, or embeddings of the same model; not both.",
        },
        model=_MODEL,
    ),
)

EMBED_BODY = _body(
    multipart=_object(
        ["images"],
        images={"type": "array", "items": _FILE, "minItems": 1},
        model=_MODEL,
        side=_SIDE,
    ),
    json=_object(
        ["images"],
        images={"oneOf": [_BASE64, {"type": "array", "items": _BASE64, "minItems": 1}]},
        model=_MODEL,
        side=_SIDE,
    ),
    raw={"schema": _FILE},
)

READ = ["GET", "HEAD"]
"""How health checkers ask, too. A route for both, that the document does not show, stands before
the one that it shows: the first of a path is what `Allow` is made of."""

NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Name or alias of a model.",
    "schema": {"type": "string"},
}


def parameters(*names: str) -> list[dict[str, Any]]:
    """The query parameters of these names, and the header that every working route reads."""
    schemas: dict[str, dict[str, Any]] = {"model": _MODEL, "side": _SIDE}
    return [
        *(
            {
                "name": name,
                "in": "query",
                "description": schemas[name]["description"],
                "schema": schemas[name],
            }
            for name in names
        ),
        {
            "name": "X-Request-Timeout",
            "in": "header",
            "description": "Seconds; shortens the time the request may take.",
            "schema": {"type": "number", "exclusiveMinimum": 0},
        },
    ]


_PROBLEMS = {
    400: "Malformed request.",
    401: "An API key is asked for, and none that is good was sent.",
    403: "The API key may not be used for this.",
    404: "No such model.",
    408: "The body was not there in time.",
    413: "Too many bytes.",
    415: "Not an image type, or not a body type, that is read.",
    422: "An image that cannot be decoded, or is over the pixel limit.",
    429: "The queue is full, or the key's rate is used up; `Retry-After` says when to come back.",
    431: "Headers, the request's target among them, over the limit of bytes.",
    500: "The model failed on this image.",
    503: "Not ready, or draining.",
    504: "The request's time was over.",
}
_TRY_AGAIN = (429, 503)
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to come back.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_OF_IMAGES = (400, 404, 408, 413, 415, 422, 429, 500, 503, 504)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route; all that one for images can give if none are named.

    That a key is missing is no route's own answer: `Guard` gives it, where there are keys.
    """
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": reference},
            **({"headers": _RETRY_AFTER} if status in _TRY_AGAIN else {}),
        }
        for status in statuses or _OF_IMAGES
    }


_REQUEST_ID = {
    "X-Request-ID": {
        "description": "The request's id: its own if it sent one, as the log names it.",
        "schema": {"type": "string"},
    }
}


def complete_answers(document: dict[str, Any]) -> None:
    """Adds to an OpenAPI document what every route answers with, and none names itself."""
    document["components"]["headers"] = _REQUEST_ID
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in _REQUEST_ID}
    # Too many parameters and too long headers are refused before any route is asked.
    everywhere = problems(400, 431)
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            for status, answer in everywhere.items():
                answers.setdefault(str(status), answer)
            operation["responses"] = {
                status: {**answer, "headers": {**answer.get("headers", {}), **references}}
                for status, answer in sorted(answers.items())
            }
