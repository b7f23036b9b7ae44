"""A stand-in for a runtime that remembers its earlier runs, because no ONNX model does: the real onnxruntime, slowed down.

usage: moody_runtime.py MOOD RUN_PY [arguments of the worker]

It patches the inner call of a session that was loaded from a file, which is how the worker calls it, and then becomes the
worker. Everything else is the real thing. Moods:

- `slow-first=SECONDS`: the first run takes that long, as one does that compiles.
- `compiling=SECONDS`: the CPU's provider is said to compile in the session, which takes that long.
- `slowing`: each run takes longer than the one before, by half of its first time each second.
"""

from __future__ import annotations

import dataclasses
import os
import runpy
import sys
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as the worker does, before the import

import onnxruntime
from onnxruntime.capi import _pybind_state

#: What a run of the slowing mood takes at first, so that it can be seen beside any small model.
BASE_S = 0.0005
GROWTH_PER_S = 0.5

mood, _, argument = sys.argv[1].partition("=")
from_files: dict[int, int] = {}
began: list[float] = []
real_session = onnxruntime.InferenceSession.__init__
real_run = _pybind_state.InferenceSession.run_with_iobinding


def open_session(self, path_or_bytes, *rest, **more):
    real_session(self, path_or_bytes, *rest, **more)
    if isinstance(path_or_bytes, (str, os.PathLike)):
        if mood == "compiling":
            time.sleep(float(argument))
        from_files[id(self._sess)] = 0


def run(self, binding, options=None):
    count = from_files.get(id(self))
    if count is not None:
        from_files[id(self)] = count + 1
        delay(count)
    return real_run(self, binding, options)


def delay(count: int) -> None:
    if mood == "slow-first" and count == 0:
        time.sleep(float(argument))
    elif mood == "slowing":
        now = time.perf_counter()
        began[:] = began or [now]
        until = now + BASE_S * (1 + GROWTH_PER_S * (now - began[0]))
        while time.perf_counter() < until:
            pass


if mood == "compiling":
    sys.path.insert(0, str(Path(sys.argv[2]).resolve().parent))
    from edgesweep_worker.providers import cpu

    cpu.FACTS = dataclasses.replace(cpu.FACTS, compile_step="session")

onnxruntime.InferenceSession.__init__ = open_session
_pybind_state.InferenceSession.run_with_iobinding = run
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
