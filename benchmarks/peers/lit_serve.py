"""LitServe: a process for each core, batches of up to eight within five milliseconds."""

import base64
import sys

import litserve
import numpy as np

from app.inference.engines import Embeddings, UInt8Batch
from benchmarks.peers.pipeline import BATCH_SECONDS, LARGEST_BATCH, Pipeline
from model_store.cpus import available_cpus
from model_store.preprocessing import UInt8Image


class Embed(litserve.LitAPI):
    """The hooks that LitServe calls."""

    def setup(self, device: str) -> None:
        """In every worker."""
        del device
        self.pipeline = Pipeline()

    def decode_request(self, request: dict[str, str]) -> UInt8Image:
        """Base64 in JSON → uint8 image."""
        return self.pipeline.decode(base64.b64decode(request["image"]))

    def batch(self, inputs: list[UInt8Image]) -> UInt8Batch:
        """Images → one array."""
        return np.stack(inputs)

    def predict(self, inputs: UInt8Batch) -> Embeddings:
        """Images → embeddings."""
        return self.pipeline.embed(inputs)

    def unbatch(self, output: Embeddings) -> list[Embeddings]:
        """Embeddings → one by one."""
        return list(output)

    def encode_response(self, output: Embeddings) -> dict[str, list[float]]:
        """An embedding → JSON."""
        return {"embedding": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Embed(max_batch_size=LARGEST_BATCH, batch_timeout=BATCH_SECONDS, api_path="/embed"),
        accelerator="cpu",
        workers_per_device=available_cpus(),
    )
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
