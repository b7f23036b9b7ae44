"""The Edgesweep agent: the daemon on a board. It never imports numpy, onnxruntime, torch or the controller."""

__version__ = "0.1.0"
