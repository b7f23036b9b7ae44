"""Causes of outcomes that a host finds: a model that does not export, a cell that is not run."""

from __future__ import annotations

from edgesweep.errors.entry import cause

EXPORT_CAUSES = (
    cause(
        "factory_failed",
        "the model could not be made as the plan names it",
        "correct what the sentence names; where the factory raised, run it by itself: the traceback is in the detail",
        repeatable=False,
        stages="export",
    ),
    cause(
        "factory_timeout",
        "the model's factory did not return in time",
        "make the factory faster, or raise export.timeout_s in the plan",
        repeatable=False,
        stages="export",
    ),
    cause(
        "export_error",
        "the exporter refused the model",
        "try the other exporter or another opset; the exporter's own words are in the detail",
        stages="export",
    ),
    cause(
        "export_unsupported_op",
        "the exporter has no ONNX form for an operator of the model",
        "use the dynamo exporter, a newer opset, or replace the operator in the model",
        stages="export",
    ),
    cause(
        "export_unsupported_opset",
        "the exporter does not know this opset",
        "ask for an opset that this exporter offers",
        stages="export",
    ),
    cause(
        "export_data_dependent",
        "the model's control flow depends on the values of its input",
        "rewrite the branch with torch.where or torch.cond",
        stages="export",
    ),
    cause(
        "export_timeout",
        "the exporter did not finish in time",
        "raise export.timeout_s in the plan, or make the model smaller",
        repeatable=False,
        stages="export",
    ),
    cause(
        "export_crash",
        "the export process died",
        "see the signal and the last lines of its stderr in the detail",
        repeatable=False,
        stages="export",
    ),
    cause(
        "export_oom",
        "the export process was killed for memory",
        "export a smaller model or raise export.memory_bytes in the plan",
        repeatable=False,
        stages="export",
    ),
    cause(
        "invalid_graph",
        "the graph breaks a rule of ONNX: the checker or the runtime refuses it",
        "try another opset or the other exporter, and report it to the exporter's project; mend a ready file with the tool "
        "that wrote it",
        stages="check load",
    ),
    cause("invalid_model_file", "the file is not a whole ONNX model", "copy or export the file again"),
    cause(
        "opset_not_honoured",
        "the exporter produced another opset than the one asked for",
        "ask for the opset that was produced, or use the other exporter",
    ),
    cause(
        "opset_not_registered",
        "an operator in the graph does not exist at the produced opset",
        "use an opset at which the operator exists",
    ),
    cause(
        "dynamic_dim_static",
        "a dimension asked to be dynamic came out static",
        "trace at a size of at least 2 that the model has no special case for, name the dimension on every input that has "
        "it, and avoid int(x.shape[i]) in the model (docs/export-matrix.md)",
    ),
    cause(
        "dynamic_dim_refused",
        "the exported model refuses another size of a dynamic dimension",
        "give inputs that change together one name and declare `ranges`; else look for sizes that were baked in during "
        "tracing, e.g. a reshape with constants (docs/export-matrix.md)",
    ),
    cause(
        "wrong_output",
        "the outputs differ from torch's beyond the tolerance",
        "do not deploy this variant: compare `produced` and the first offending output",
        stages="check verify measure",
    ),
    cause(
        "nan_output",
        "the outputs hold NaN where the reference does not",
        "check the model's ranges and its precision",
        stages="check verify measure",
    ),
    cause(
        "unprovable_here",
        "the host's onnxruntime cannot load the artifact, so nothing was proven",
        "install a newer onnxruntime on the host",
        repeatable=False,
        stages="check",
    ),
    cause(
        "type_unsupported",
        "the model takes or returns tensors of a type that no board can be fed with or compared",
        "take and return float32, float16, float64, integers or booleans: cast at both ends of forward()",
    ),
    cause(
        "not_repeatable",
        "the model gives other outputs for the same inputs, so no export of it can be proven",
        "take what is random out of forward(), and pass what it keeps from call to call in and out as tensors",
    ),
    cause(
        "interface_mismatch",
        "the artifact's inputs are not those of the model",
        "use the other exporter, and report it to this exporter's project",
        stages="check",
    ),
    cause(
        "ir_not_lowerable",
        "the artifact uses what no IR version under the cap has",
        "raise ir_version in the plan, or ask for a lower opset or another precision",
        stages="check",
    ),
    cause(
        "optimiser_failed",
        "the optimiser could not rewrite the exported graph",
        "leave this optimiser out for the model; its own words are in the detail",
    ),
    cause(
        "precision_unsupported",
        "the model cannot be converted to this precision",
        "use another precision; the converter's own words are in the detail",
    ),
    cause(
        "precision_lost",
        "the fp32 artifact is right, and the conversion to this precision moved its outputs beyond the tolerance",
        "use another precision, or keep the offending part of the model in fp32",
    ),
    # The cell is skipped
    cause(
        "package_missing",
        "the model needs a package that is not installed",
        "install the extra that the message names",
    ),
    cause(
        "predicted_failure",
        "the runtime's own limits say that it cannot load the artifact",
        "see `prediction` for the limit and the cell that proved it; `skip: nothing` in the plan tries every cell",
        stages="load",
    ),
    cause(
        "no_such_dimension",
        "the axes profile names a dimension that the model does not declare",
        "declare it under `dynamic:` or drop the profile for this model",
        stages="plan",
    ),
    cause(
        "shape_refused",
        "the model itself refuses this shape",
        "correct `shapes` or `ranges` in the plan: torch cannot run the model at these sizes",
        stages="plan",
    ),
    cause("excluded", "the plan excludes this cell", "see the reason and the date in the plan"),
)
"""Export, check and skipped cells."""
