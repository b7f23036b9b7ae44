"""Whether an artifact does what the model does: checks, cases, a throwaway onnxruntime, tolerances, payloads."""
