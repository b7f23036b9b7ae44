"""The measured process: stdlib, numpy and onnxruntime only, on Python 3.8 and newer."""
