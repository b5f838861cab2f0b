"""The page's files, and that it knows what the service may answer; for its use see `test_page`."""

import httpx
import pytest

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
