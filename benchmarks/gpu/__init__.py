"""JPEG in, answer out, on a CUDA device: `python -m benchmarks.gpu`."""
