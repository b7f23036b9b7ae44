"""Whether an artifact's outputs are torch's, judged by `numpy.testing` alone. Runs in a process of its own.

Reads a JSON list from stdin; each entry has `name`, `model` (a path) and `answers` (paths of `torch_answers` files).
Writes one JSON line per entry to stdout: `name` and, per file, an empty string where they agree, `refused: …` where the
runtime takes the input for a mistake, or `wrong: …`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime

RELATIVE = 1e-3
#: Of the largest element: a small difference of large numbers is no mistake.
ABSOLUTE = 1e-4


def agree(got: np.ndarray, want: np.ndarray) -> None:
    """Raises AssertionError with numpy's own words where they do not."""
    assert got.dtype == want.dtype, f"type {got.dtype} instead of {want.dtype}"
    assert got.shape == want.shape, f"shape {got.shape} instead of {want.shape}"
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    finite = want[np.isfinite(want)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    np.testing.assert_allclose(got, want, rtol=RELATIVE, atol=ABSOLUTE * scale, equal_nan=True)


def verdict(session: onnxruntime.InferenceSession, path: str) -> str:
    with np.load(path, allow_pickle=False) as answers:
        taken = {value.name for value in session.get_inputs()}
        feed = {name[3:]: answers[name] for name in answers.files if name.startswith("in.") and name[3:] in taken}
        wanted = [answers[f"out.{index}"] for index in range(sum(name.startswith("out.") for name in answers.files))]
    try:
        outputs = session.run(None, feed)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises types of its own
        return f"refused: {error}"
    try:
        assert len(outputs) == len(wanted), f"{len(outputs)} outputs instead of {len(wanted)}"
        for got, want in zip(outputs, wanted, strict=True):
            agree(np.asarray(got), want)
    except AssertionError as error:
        return f"wrong: {' '.join(str(error).split())[:400]}"
    return ""


def judge(request: dict[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - as above
        return {"name": request["name"], "verdicts": [f"refused: {error}"] * len(request["answers"])}
    return {"name": request["name"], "verdicts": [verdict(session, path) for path in request["answers"]]}


def main() -> None:
    for request in json.load(sys.stdin):
        sys.stdout.write(json.dumps(judge(request)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
