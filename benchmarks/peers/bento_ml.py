"""BentoML: a process for each core, adaptive batches of up to eight."""

import base64
import os
import sys

import bentoml
import numpy as np

from benchmarks.peers.pipeline import LARGEST_BATCH, Pipeline
from model_store.cpus import available_cpus


@bentoml.service(name="photos", workers=available_cpus())
class Embed:
    """What BentoML runs in every worker."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api(route="/embed", batchable=True, max_batch_size=LARGEST_BATCH)
    def embed(self, images: list[str]) -> list[list[float]]:
        """Base64 images of several requests → their embeddings."""
        decoded = [self.pipeline.decode(base64.b64decode(image)) for image in images]
        rows: list[list[float]] = self.pipeline.embed(np.stack(decoded)).tolist()
        return rows


if __name__ == "__main__":
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    target = "benchmarks.peers.bento_ml:Embed"
    os.execv(
        sys.executable,
        [sys.executable, "-m", "bentoml", "serve", target, "--port", sys.argv[1]],
    )
