"""Where models come from: the zoo, factories and ready `.onnx` files; and inputs for them at any size."""
