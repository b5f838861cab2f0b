"""Triton's server in C++, by PyTriton: batches of up to eight within five milliseconds.

A batch is computed in Python, which Triton reaches through shared memory; an instance a core.
"""

import os
import sys
import sysconfig

import numpy as np
import numpy.typing as npt
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.pipeline import BATCH_SECONDS, LARGEST_BATCH, Pipeline
from model_store.cpus import available_cpus

_DIMENSION = 1280


class Embed:
    """One instance of the model."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @batch
    def __call__(self, image: npt.NDArray[np.object_]) -> dict[str, npt.NDArray[np.float32]]:
        """Images (N, 1) of several requests, as they are → their embeddings."""
        images = [self.pipeline.decode(item) for item in image[:, 0]]
        return {"embedding": self.pipeline.embed(np.stack(images))}


def main(port: int) -> None:
    """Serves."""
    # Triton's Python takes the interpreter that the system has as a library, which need not be the
    # version whose standard library it is then given: ours.
    folders = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(folder for folder in folders if folder)
    config = TritonConfig(
        http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="photos",
            infer_func=[Embed() for _ in range(available_cpus())],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="embedding", dtype=np.float32, shape=(_DIMENSION,))],
            config=ModelConfig(
                max_batch_size=LARGEST_BATCH,
                batcher=DynamicBatcher(max_queue_delay_microseconds=int(1e6 * BATCH_SECONDS)),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
