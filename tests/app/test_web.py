"""The page's files, and that it knows what the service may answer; for its use see `test_page`."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from app import web
from model_store.metric import Metric


def test_the_page_knows_every_metric(client: httpx.Client) -> None:
    script = client.get("/static/page.js").text
    for metric in Metric:
        assert f"  {metric.value}: {{ name:" in script


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/docs/swagger-ui.css", "/favicon.ico"])
@pytest.mark.parametrize("wanted", ["bytes=0-3", "bytes=99999999-", "bytes=3-1", "nonsense"])
def test_files_are_sent_whole_whatever_part_is_asked_for(
    client: httpx.Client, path: str, wanted: str
) -> None:
    answer = client.get(path, headers={"range": wanted})
    assert answer.status_code == 200
    assert answer.content == client.get(path).content


@pytest.mark.parametrize("path", ["/static/page.js", "/docs/swagger-ui-bundle.js", "/favicon.ico"])
def test_browsers_ask_each_time_whether_a_file_they_keep_is_still_good(
    client: httpx.Client, path: str
) -> None:
    sent = client.get(path)
    same = client.get(path, headers={"if-none-match": sent.headers["etag"]})
    other = client.get(path, headers={"if-none-match": '"another"'})
    assert (sent.status_code, same.status_code, other.status_code) == (200, 304, 200)
    assert same.content == b""
    assert other.content == sent.content
    for answer in (sent, same, other):
        assert answer.headers["cache-control"] == "no-cache"


def test_a_file_of_another_release_is_sent_though_its_size_and_time_are_the_same(
    tmp_path: Path,
) -> None:
    file = tmp_path / "page.js"

    def ask(release: bytes, **headers: str) -> Response:
        file.write_bytes(release)
        os.utime(file, (1e9, 1e9))
        # Each release is a process of its own.
        web._etag.cache_clear()
        lines = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        scope = {"type": "http", "method": "GET", "headers": lines}
        return asyncio.run(web._WholeFiles(directory=tmp_path).get_response("page.js", scope))

    etag = ask(b"release = 1").headers["etag"]
    assert ask(b"release = 1", if_none_match=etag).status_code == 304
    assert ask(b"release = 2", if_none_match=etag).status_code == 200
    since = "Wed, 01 Jan 2031 00:00:00 GMT"
    assert ask(b"release = 2", if_modified_since=since).status_code == 200
