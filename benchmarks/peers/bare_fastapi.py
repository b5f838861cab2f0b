"""FastAPI and its thread pool: what one writes first. No batches; each request runs on its own."""

import sys

import orjson
import uvicorn
from fastapi import Body, FastAPI, Response

from benchmarks.peers.pipeline import Pipeline
from model_store.cpus import available_cpus

app = FastAPI()
pipeline = Pipeline(engines=available_cpus())


@app.post("/embed")
def embed(image: bytes = Body(media_type="image/jpeg")) -> Response:
    """An image as it is → its embedding."""
    row = pipeline.embed(pipeline.decode(image)[None])[0]
    answer = orjson.dumps({"embedding": row}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(answer, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
