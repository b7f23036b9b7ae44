"""Ready `.onnx` files: taken as they are, checked, and given inputs and references of their own."""
