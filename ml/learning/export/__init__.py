"""ONNX graphs, their quantization, and the choice among them."""
