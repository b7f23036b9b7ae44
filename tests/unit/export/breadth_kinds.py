"""What is expected of every kind of input and output in `breadth_models.py`: the artifact's interface, or the honest end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`inputs` are the paths that an artifact takes, `outputs` how many tensors it gives.

    `dropped` are inputs that the TorchScript exporter leaves out because the model does not use them. `cause` is how both
    exporters end instead, or one of them where `causes` says so; `words` must be in the sentence. `cut` marks what every
    run of the tests exports, the rest is for the benchmark.
    """

    inputs: tuple[str, ...] = ("x",)
    outputs: int = 1
    dropped: tuple[str, ...] = ()
    cause: str = ""
    causes: tuple[tuple[str, str], ...] = ()
    words: str = ""
    cut: bool = False

    def cause_of(self, exporter: str) -> str:
        """The cause with which a variant of that exporter ends; empty when it passes."""
        return dict(self.causes).get(exporter, self.cause)

    def inputs_of(self, exporter: str) -> tuple[str, ...]:
        """The inputs of that exporter's artifact, in order."""
        return tuple(path for path in self.inputs if exporter != "torchscript" or path not in self.dropped)


PAIR = ("left", "right")

KINDS = {
    # Structure
    "two_by_two": Kind(PAIR, 2),
    "two_by_two_by_name": Kind(PAIR, 2),
    "nest": Kind(("x", "parts.more.0", "parts.more.1.scale", "parts.more.1.shift", "parts.first"), 3, cut=True),
    "tuple_only": Kind(("pair.0", "pair.1")),
    "dict_only": Kind(("parts.zulu", "parts.alpha"), cut=True),
    "numbered": Kind(("parts.10", "parts.2")),
    "varargs": Kind(("first", "others.0", "others.1")),
    "keyword_only": Kind(("x", "shift")),
    "catch_all": Kind(("x", "shift", "scale"), cut=True),
    "odd_keys": Kind(("parts.a b/c", "parts.")),
    "dotted_keys": Kind(cause="factory_failed", words="both called 'parts.a.b'", cut=True),
    "no_tensor": Kind(cause="factory_failed", words="hold no tensor", cut=True),
    # Classes
    "dataclass_plain": Kind(("box.left", "box.right")),
    "dataclass_registered": Kind(("box.left", "box.right"), cut=True),
    "dataclass_returned": Kind(outputs=2, cut=True),
    "dataclass_returned_registered": Kind(outputs=2),
    "model_output": Kind(outputs=3),
    "cache_input": Kind(("x", "past.key_cache.0", "past.value_cache.0")),
    "cache_returned": Kind(outputs=3),
    "parcel_input": Kind(cause="factory_failed", words="is a Parcel, whose tensors would be baked in", cut=True),
    "parcel_beside": Kind(cause="factory_failed", words="is a Parcel, whose tensors would be baked in"),
    "parcel_returned": Kind(cause="export_error", words="returns a Parcel", cut=True),
    # Optional inputs
    "optional_left_out": Kind(),
    "optional_none": Kind(),
    "optional_given": Kind(("x", "mask")),
    "optional_gap": Kind(("x", "bias"), cut=True),
    "optional_gap_by_name": Kind(("x", "bias")),
    "optional_number": Kind(("x", "mask"), cut=True),
    "scripted": Kind(outputs=2, causes=(("dynamo", "export_error"),), words="Exporting a ScriptModule", cut=True),
    "optional_nested": Kind(("parts.0", "parts.2"), cut=True),
    # What a trace may drop, merge or mistake
    "ignored": Kind(("x", "unused", "y"), dropped=("unused",)),
    "ignored_first": Kind(("unused", "x", "y"), dropped=("unused",), cut=True),
    "ignored_all": Kind(dropped=("x",)),
    "same_twice": Kind(PAIR, 2, cut=True),
    "same_twice_nested": Kind(("pair.0", "pair.1")),
    "own_weight": Kind(),
    "called_like_weights": Kind(("layer.weight", "layer.bias", "mul"), cut=True),
    "input_called_output": Kind(("output", "linear")),
    "written_to": Kind(("x", "y")),
    "stateful": Kind(cause="not_repeatable", words="two answers at output 0: it draws", cut=True),
    "random": Kind(cause="not_repeatable", words="two answers at output 0: it draws", cut=True),
    # Outputs
    "output_is_input": Kind(("x", "y"), 2),
    "output_twice": Kind(outputs=2),
    "output_none": Kind(outputs=2),
    "output_number": Kind(outputs=2, cut=True),
    "output_string": Kind(),
    "output_size": Kind(cut=True),
    "output_only_none": Kind(cause="export_error", words="returns no tensor", cut=True),
    "output_buffer": Kind(outputs=2),
    "output_order": Kind(outputs=4),
    "output_names": Kind(PAIR, 2),
    "output_names_short": Kind(cause="export_error", words="holds 1 names", cut=True),
    "output_names_like_inputs": Kind(cause="factory_failed", words="which is the name of an input", cut=True),
    # Types
    "all_types": Kind(("half", "double", "whole", "small", "byte", "flags", "factor", "past"), 9, cut=True),
    "float16": Kind(),
    "float64": Kind(),
    "int64": Kind(),
    "int32": Kind(),
    "int16": Kind(),
    "int8": Kind(),
    "uint8": Kind(),
    "uint16": Kind(causes=(("torchscript", "export_error"),)),
    "boolean": Kind(("x", "keep"), 2),
    "integers": Kind(("ids", "mask")),
    "bfloat16": Kind(cause="type_unsupported", words="bfloat16", cut=True),
    "bfloat16_output": Kind(cause="type_unsupported", words="output 0 of the model is bfloat16", cut=True),
    "bfloat16_inside": Kind(cause="unprovable_here", words="NOT_IMPLEMENTED"),
    "float8": Kind(cause="type_unsupported", words="float8", cut=True),
    "complex_input": Kind(cause="type_unsupported", words="complex64", cut=True),
    "complex_output": Kind(cause="type_unsupported", words="complex64", cut=True),
    "sparse": Kind(cause="type_unsupported", words="sparse", cut=True),
    # Shapes and layouts
    "scalar": Kind(("x", "factor"), 2),
    "scalar_count": Kind(("x", "count"), 2, cut=True),
    "scalar_read": Kind(("x", "count"), causes=(("torchscript", "wrong_output"),), cut=True),
    "size_read": Kind(("x", "ids"), causes=(("torchscript", "wrong_output"),), cut=True),
    "mask_read": Kind(
        ("x", "mask"), causes=(("torchscript", "wrong_output"), ("dynamo", "export_data_dependent")), cut=True
    ),
    "empty": Kind(("x", "past")),
    "empty_dynamic": Kind(cause="factory_failed", words="is empty", cut=True),
    "expanded": Kind(PAIR, 2),
    "transposed": Kind(PAIR, 2),
    "channels_last": Kind(),
    "needs_grad": Kind(),
    "parameter_input": Kind(),
    # Constants among the arguments
    "constants": Kind(),
    "constants_by_position": Kind(),
    "constants_between": Kind(("x", "y"), cut=True),
    "constants_nested": Kind(("parts.x",)),
    "constant_object": Kind(),
    "constant_dtype": Kind(),
    "constant_array": Kind(),
}
