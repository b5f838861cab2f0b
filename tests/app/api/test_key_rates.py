"""What a key pays for its images."""

import base64
from pathlib import Path

import pytest

from app.security.keys import new_key, write_keys
from tests.app.material import DIMENSION, picture
from tests.app.serving import in_thread


def test_a_key_pays_for_each_image_and_not_for_embeddings(store: Path, tmp_path: Path) -> None:
    image = base64.b64encode(picture(1)).decode()
    row = [1.0] * DIMENSION
    asked: tuple[tuple[str, dict[str, object], int], ...] = (
        ("/embed", {"images": [image] * 3}, 3),
        ("/compare", {"image_a": image, "image_b": image}, 2),
        ("/compare/many", {"query": image, "candidates": [image] * 4}, 5),
        ("/compare/many", {"query": row, "candidates": [image] * 4}, 4),
        ("/compare/many", {"query": image, "candidates": [row] * 4}, 1),
    )
    # A thousandth of an image a second: the wait tells how many were paid for.
    made = [new_key(f"key-{number}", images_per_second=0.001) for number in range(len(asked))]
    write_keys(tmp_path / "keys.json", tuple(record for _, record in made))
    with in_thread(store, store_poll_seconds=0, api_keys=tmp_path / "keys.json") as running:
        for (path, body, images), (key, _) in zip(asked, made, strict=True):
            headers = {"x-api-key": key}
            assert running.client.post(path, json=body, headers=headers).status_code == 200
            refused = running.client.post(path, json=body, headers=headers)
            assert refused.status_code == 429
            wait = int(refused.headers["retry-after"])
            assert 1000 * images - 500 < wait <= 1000 * images, path


def test_a_request_without_an_image_costs_its_key_nothing_but_waits_for_its_debt(
    store: Path, tmp_path: Path
) -> None:
    key, record = new_key("own", images_per_second=0.001)
    write_keys(tmp_path / "keys.json", (record,))
    row = [1.0] * DIMENSION
    stored = {"query": row, "candidates": [row] * 4}
    with in_thread(store, store_poll_seconds=0, api_keys=tmp_path / "keys.json") as running:

        def ask(path: str, body: dict[str, object]) -> int:
            return running.client.post(path, json=body, headers={"x-api-key": key}).status_code

        assert [ask("/compare/many", stored) for _ in range(3)] == [200] * 3
        assert ask("/embed", {"images": [base64.b64encode(picture(1)).decode()]}) == 200
        # What it holds is known only once it has been read.
        assert ask("/compare/many", stored) == 429


def test_a_request_that_is_refused_costs_one_image(store: Path, tmp_path: Path) -> None:
    image = base64.b64encode(picture(1)).decode()
    many, row = [image] * 5, [1.0] * DIMENSION
    asked: tuple[tuple[str, dict[str, object], str], ...] = (
        ("/embed", {"images": many, "model": "nope"}, "unknown-model"),
        ("/compare", {"image_a": image, "image_b": image, "model": "nope"}, "unknown-model"),
        ("/compare/many", {"query": row[1:], "candidates": many}, "malformed-request"),
        ("/embed", {"images": many}, "queue-full"),
        ("/compare/many", {"query": image, "candidates": many}, "queue-full"),
    )
    made = [new_key(f"key-{number}", images_per_second=0.001) for number in range(len(asked))]
    write_keys(tmp_path / "keys.json", tuple(record for _, record in made))
    with in_thread(store, store_poll_seconds=0, api_keys=tmp_path / "keys.json") as running:
        # There is room for a few images, but not for as many.
        running.service.admission.outstanding += running.service.settings.queue_images - 3
        for (path, body, why), (key, _) in zip(asked, made, strict=True):
            headers = {"x-api-key": key}
            for problem in (why, "rate-limited"):
                answer = running.client.post(path, json=body, headers=headers)
                assert answer.json()["type"].endswith(problem), answer.text
            assert int(answer.headers["retry-after"]) <= 1000, (path, why)


def test_what_is_refused_as_too_much_costs_its_key_nothing_to_speak_of(
    store: Path, tmp_path: Path
) -> None:
    key, record = new_key("own", images_per_second=1.0)
    write_keys(tmp_path / "keys.json", (record,))
    text = base64.b64encode(picture(1)).decode()
    refused = (
        ("/embed", {"images": [text] * 100}, 400),
        ("/compare/many", {"query": text, "candidates": [text] * 100}, 400),
        ("/embed", {"images": [*[text] * 9, "A" * 100_000]}, 413),
        ("/embed", {"images": [*[text] * 9, "no-base64"]}, 400),
        ("/compare/many", {"query": "no-base64", "candidates": [text] * 9}, 400),
    )
    with in_thread(
        store, store_poll_seconds=0, api_keys=tmp_path / "keys.json", max_image_bytes=50_000
    ) as running:
        headers = {"x-api-key": key}
        # Ten images may come at once, and each request that is read costs one.
        for path, body, status in refused:
            answer = running.client.post(path, json=body, headers=headers)
            assert answer.status_code == status, answer.text
        answer = running.client.post("/embed", json={"images": [text] * 5}, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("processes", "let_in"), [(1, 10), (2, 5)])
def test_each_of_several_processes_lets_in_its_share_of_a_keys_images(
    store: Path, tmp_path: Path, processes: int, let_in: int
) -> None:
    # Ten seconds' worth can be saved up, and nothing to speak of comes on top in the meantime.
    own, record = new_key("own", images_per_second=1.0)
    common, other = new_key("common")
    write_keys(tmp_path / "keys.json", (record, other))
    with in_thread(
        store,
        wait=False,
        api_keys=tmp_path / "keys.json",
        rate_limit=1.0,
        processes=processes,
    ) as running:
        for key in (own, common):
            headers = {"x-api-key": key}
            # What asks for no image costs nothing.
            for path in ("/models", "/embed", "/nowhere"):
                free = [running.client.get(path, headers=headers).status_code for _ in range(11)]
                assert 429 not in free
            # What does is paid for, even where nothing comes of it.
            answers = [
                running.client.post("/embed", headers=headers).status_code for _ in range(11)
            ]
            assert set(answers[:let_in]) <= {400, 503}
            assert answers[let_in] == 429
