"""What many scripts do: load a model, run it a few times, and report the mean of 100 runs. Its seconds go to stdout.

usage: mean_of_100.py MODEL NAME FILE.npy THREADS
"""

import sys
import time

import numpy as np
import onnxruntime

_, path, name, file, threads = sys.argv
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feed = {name: np.load(file)}
for _ in range(10):
    session.run(None, feed)
begin = time.perf_counter()
for _ in range(100):
    session.run(None, feed)
sys.stdout.write(f"{(time.perf_counter() - begin) / 100!r}\n")
