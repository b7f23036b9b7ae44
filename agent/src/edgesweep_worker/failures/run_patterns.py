"""Words for a run that was refused: inputs that do not fit, shapes that do not meet, values that an operator does not take."""

from __future__ import annotations

from edgesweep_worker.failures.pattern import RUNNING, pattern

_NODE = r"while running (?P<operator>[\w.-]+) node\. Name:'(?P<node>[^']*)' Status Message: (?s:.*?)"

RUN_PATTERNS = (
    pattern(
        "input-rank/1",
        r"Invalid rank for input: (?P<subject>.+?) Got: \d+ Expected: \d+",
        "shape_mismatch",
        "input {subject} has another number of dimensions than the model takes",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "input-shape/1",
        r"Got invalid dimensions for input: (?P<subject>.+?) for the following indices",
        "shape_mismatch",
        "input {subject} has other sizes than the model takes",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "input-type/1",
        r"Unexpected input data type\. Actual: \((?P<types>.*?)\) , expected: \((?P<expected>.*)\)",
        "shape_mismatch",
        "an input is {types} where the model takes {expected}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "input-name/1",
        r"Invalid (?:Feed Input Name:|input name: )(?P<subject>.+)",
        "shape_mismatch",
        "the model has no input {subject}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "input-missing/1",
        r"Required inputs \(\[?'?(?P<subject>[^'\]]*).*\) are missing|Missing Input: (?P<other>\S+)",
        "shape_mismatch",
        "an input of the model is missing",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "node-shape/1",
        _NODE + r"(?:dimension mismatch|Attempting to broadcast an axis by a dimension other than 1"
        r"|input tensor cannot be reshaped|Non concat axis dimensions must match|invalid expand shape"
        r"|Tensor shape\.Size\(\) must be >= 0|Tensor shape cannot contain any negative value"
        r"|Cannot split using values in 'split'|is not equal to kernel channels \* group"
        r"|Incompatible dimensions|[Ss]hape mismatch)",
        "shape_mismatch",
        "the shapes do not fit each other at operator {what}",
        ("1.15.1", "1.32.0"),
        *RUNNING,
    ),
    pattern(
        "node-shape/2",
        _NODE + r"\[OpenVINO-EP\] (?s:.*)(?:shapes are incompatible|shapes dim index: \d+ mismatch"
        r"|[Aa]rgument shapes are inconsistent|must match the length of the chosen axis)",
        "shape_mismatch",
        "the shapes do not fit each other in the part that OpenVINO runs",
        ("1.24.1", "1.24.1"),
        *RUNNING,
    ),
    pattern(
        "node-value/1",
        _NODE + r"(?:out of data bounds|invalid indice found|'step' value cannot be 0|Integer division by zero"
        r"|points to non-existing data tensor element|point to non-existing data tensor element)",
        "run_error",
        "values do not fit{at_operator}: an index or a step is out of bounds",
        ("1.15.1", "1.32.0"),
        *RUNNING,
    ),
    pattern(
        "node-mode/1",
        _NODE + r"(?:mode only supports?\b|is not supported|not implemented|NOT_IMPLEMENTED)",
        "unsupported_op",
        "{runtime} cannot run operator {what} as the model asks for it",
        ("1.15.1", "1.32.0"),
        *RUNNING,
    ),
)
