"""What a problem answer must be."""

import httpx

from tests.app.material import picture

GOOD = picture(1)


def problem(answer: httpx.Response, status: int, *words: str) -> dict[str, object]:
    """Checks that an answer is a problem of that status whose detail has these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert set(content) == {"type", "title", "status", "detail", "request_id"}
    assert content["status"] == status
    assert "Traceback" not in content["detail"]
    for word in words:
        assert word in content["detail"], content["detail"]
    return content


def pair(client: httpx.Client, second: bytes, **data: str) -> httpx.Response:
    return client.post("/compare", files={"image_a": GOOD, "image_b": second}, data=data)
