"""The models that come with Twinlens, and those that it can bring in."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "checkpoints"
"""The store that comes with Twinlens, and the default one."""

SHIPPED_MODELS = {
    "glyphs": "10c8d4b6cc012347184f6387a168005fa88e6e91fc0c1a025e3646504a89e234",
    "groceries": "fc45bc45d01cc3c3d35d37f976084257b21beecf71dce1acfcd3d09172da086c",
}
"""The models that come with it, and the SHA-256 of the weights of each."""

IMPORTED_MODELS = ("faces", "photos")
"""Those that `python -m model_store import` brings in, from packages of others."""
