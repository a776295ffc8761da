"""Imported ONNX graphs: safe reading, inputs by task, and outputs as logits."""
