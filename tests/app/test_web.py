"""The page knows what the service may answer; a browser is not started here."""

import httpx

from model_store.metric import Metric


def test_the_page_knows_every_metric(client: httpx.Client) -> None:
    script = client.get("/static/page.js").text
    for metric in Metric:
        assert f"  {metric.value}: {{ name:" in script
