"""What a command of the image does to a store that a volume holds."""

from collections.abc import Sequence
from pathlib import Path

from model_store import ModelStore
from model_store.__main__ import main
from tests import tiny


def check_filling(command: Sequence[str], folder: Path) -> None:
    """Runs it here: it must put in what the image has, and leave what the volume has.

    Args:
        command: The image's models are at `/models`, and the volume is at `/store`.
        folder: An empty one.
    """
    image, volume = (ModelStore(folder / name) for name in ("image", "volume"))
    for name in ("photos", "signs"):
        image.save(name, tiny.network())
    own = volume.save("photos", tiny.network(seed=1))
    expected = volume.manifest("photos")
    assert command[:3] == ["python", "-m", "model_store"]
    instead = {"/models": str(image.root), "/store": str(volume.root)}
    for _ in range(2):
        assert main([instead.get(word, word) for word in command[3:]]) == 0
        assert volume.manifest("signs") == image.manifest("signs")
        assert (volume.find("photos"), volume.manifest("photos")) == (own, expected)
        assert volume.index().default == "photos"
