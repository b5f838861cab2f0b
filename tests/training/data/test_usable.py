"""Images that cannot be decoded are found, whatever is wrong with them."""

from tests.training.trees import grown, png, pngs, whole
from training.data.usable import unusable_images


def test_each_image_that_cannot_be_decoded_is_named(tmp_path):
    names = [f"c{label}/{number}.png" for label in range(3) for number in range(40)]
    spoiled = {"c0/7.png": b"", "c1/0.png": png()[:60], "c2/39.png": b"text"}
    grown(tmp_path, {**pngs(names), **spoiled})
    (tmp_path / "c1" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    told: list[int] = []
    found = unusable_images(whole(tmp_path), workers=2, on_progress=told.append)
    assert [entry.key for entry in found] == ["c0/7.png", "c1/0.png", "c1/gone.png", "c2/39.png"]
    assert "damaged or cut short" in found[1].reason
    assert told == [64, 121]
