"""MLServer: adaptive batching of up to eight images within five milliseconds, two workers."""

import asyncio
import base64
import sys

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.pipeline import BATCH_SECONDS, LARGEST_BATCH, Pipeline
from model_store.cpus import available_cpus


class Embed(MLModel):
    """The runtime that MLServer calls."""

    async def load(self) -> bool:
        """In every worker."""
        self.pipeline = Pipeline()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Base64 images of several requests → their embeddings."""
        images = [self.pipeline.decode(base64.b64decode(item)) for item in payload.inputs[0].data]
        rows = self.pipeline.embed(np.stack(images))
        output = ResponseOutput(
            name="embedding", shape=list(rows.shape), datatype="FP32", data=rows.ravel().tolist()
        )
        return InferenceResponse(model_name=self.name, outputs=[output])


async def main(port: int) -> None:
    """Serves."""
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=available_cpus(),
        gzip_enabled=False,
    )
    model = ModelSettings(
        name="photos",
        implementation="benchmarks.peers.ml_server.Embed",
        max_batch_size=LARGEST_BATCH,
        max_batch_time=BATCH_SECONDS,
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
