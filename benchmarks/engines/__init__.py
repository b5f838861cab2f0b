"""OpenVINO, ONNX Runtime, inductor and eager PyTorch on the same networks."""
