"""What plain onnxruntime says to the models named on the command line. Runs in a process of its own, by any runtime's Python.

Knows nothing of Edgesweep: one session on the CPU for each model, one JSON line for each on stdout with `model` and `error`
(empty where it loads). Python 3.8 and newer.
"""

import json
import sys

import onnxruntime


def error_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises types of its own
        return str(error) or type(error).__name__
    return ""


for each in sys.argv[1:]:
    sys.stdout.write(json.dumps({"model": each, "error": error_of(each)}) + "\n")
    sys.stdout.flush()
