"""The network as layers, and the ONNX file that it becomes."""
