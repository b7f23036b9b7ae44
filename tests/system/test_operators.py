"""A cut of the operator tests of the package onnx: through command, agent and worker, held against plain onnxruntime.

The whole of it is `scripts/bench backend-tests`.
"""

from __future__ import annotations

from pathlib import Path

from backend_tests import compared
from operators import plain
from operators.cases import write_some
from operators.lab import Lab

MODULES = (
    "abs", "adam", "add", "batch_normalization", "bitshift", "cast", "constant", "dequantizelinear", "dropout", "einsum",
    "identity", "if_", "loop", "nonzero", "optionalhaselement", "prelu", "quantizelinear", "sequenceinsert",
    "splittosequence", "string_concat", "string_split", "topk", "unique", "where",
)  # fmt: skip
#: One of each kind: numbers, text, sequences, optional values, narrow types, no input, no kernel, another answer.
NAMES = (
    "abs", "adam", "add", "add_uint8", "batchnorm_epsilon_training_mode", "bitshift_left_uint16", "cast_DOUBLE_to_FLOAT16",
    "cast_FLOAT_to_BFLOAT16", "cast_BFLOAT16_to_FLOAT", "cast_FLOAT_to_FLOAT8E4M3FN", "cast_FLOAT8E5M2_to_FLOAT",
    "cast_FLOAT_to_INT4", "cast_UINT4_to_FLOAT", "constant", "dequantizelinear_int4",
    "dropout_default", "training_dropout_default", "einsum_sum", "identity", "identity_opt", "identity_sequence", "if",
    "if_seq", "loop11", "loop13_seq", "nonzero_example", "optional_has_element_empty_optional_input",
    "optional_has_element_tensor_input", "prelu_example", "quantizelinear_uint4", "sequence_insert_at_back",
    "split_to_sequence_1", "string_concat", "string_split_basic", "top_k", "unique_sorted_with_axis", "where_example",
)  # fmt: skip


def test_every_operator_test_ends_as_plain_onnxruntime_says(tmp_path: Path) -> None:
    cases = write_some(tmp_path / "cases", MODULES, NAMES)
    assert len(cases) == len(NAMES)
    lab = Lab(tmp_path)
    with lab.agent():
        document = lab.sweep(cases)
    said = plain.ask([case.folder for case in cases])
    cells = {cell["model"]: cell for cell in document["cells"]}
    assert compared(cases, cells, said) == []
    # The cut means something only with both ends in it.
    assert {told.ok for told in said.values()} == {True, False}
    assert all(cell["verdict"] is None and cell["latency_s"] is None for cell in cells.values())
    ran = [trial for cell in cells.values() for trial in cell["trials"]]
    assert len(ran) > len(cases) * 0.8
    assert all("forked" in trial["environment"]["tags"] for trial in ran)
    # What this sweep found is shown in every form, without a time in it.
    for form in ("md", "html"):
        shown = lab.command("report", "latest", "-o", form, "--output", str(tmp_path / f"report.{form}"))
        assert shown.returncode == 0, (tmp_path / "edgesweep.log").read_text()
    assert "add" in (tmp_path / "report.md").read_text()
