"""Words for a model that the runtime refuses: its versions, its file, its graph, its operators and types."""

from __future__ import annotations

from edgesweep_worker.failures.pattern import LOADING, pattern

#: What names an operator where `In Node, ("name", Type, "domain", version)` stands before the reason.
_IN_NODE = r'In Node, \("(?P<node>[^"]*)", (?P<operator>\w+), "(?P<domain>[^"]*)", -?\d+\) : \((?P<types>.*?)\) -> .*?'

GRAPH_PATTERNS = (
    pattern(
        "ir/1",
        r"Unsupported model IR version: (?P<asked>\d+), max supported IR version: (?P<highest>\d+)",
        "ir_unsupported",
        "{runtime} is too old for IR version {asked} (it takes up to {highest})",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "opset/1",
        r"only \*guarantees\* support for models stamped with official released onnx opset versions"
        r"(?:.*support for domain (?P<subject>\S+) is till opset (?P<highest>\d+))?",
        "opset_unsupported",
        "{runtime} is too old for {opsets}",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    # The model's external data. Before the file: a data file that cannot be opened is no broken model.
    pattern(
        "external-data/1",
        r"GetFileLength for (?:.*/)?(?P<subject>\S+) failed",
        "external_data_missing",
        "external data file {subject} is not there",
        ("1.15.1", "1.16.3"),
        *LOADING,
    ),
    pattern(
        "external-data/2",
        r"filesystem error: cannot get file size: [^\[]*\[(?:.*/)?(?P<subject>[^\]/]+)\]",
        "external_data_missing",
        "external data file {subject} is not there",
        ("1.19.2", "1.24.1"),
        *LOADING,
    ),
    pattern(
        "external-data/3",
        r'External data path does not exist: "(?:[^"]*/)?(?P<subject>[^"/]+)"',
        "external_data_missing",
        "external data file {subject} is not there",
        ("1.32.0", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "external-data-short/1",
        r"External initializer: (?P<subject>\S+) offset: \d+ size to read: \d+ given file_length: \d+ are out of bounds",
        "external_data_missing",
        "the external data of {subject} end beyond their file",
        ("1.16.3", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "external-data-outside/1",
        r"External data path validation failed for initializer: (?P<subject>\S+?)\.? ",
        "external_data_missing",
        "{runtime} refuses the place of the external data of {subject}",
        ("1.24.1", "1.32.0"),
        *LOADING,
    ),
    # The file.
    pattern(
        "file/1",
        r"INVALID_PROTOBUF|Protobuf parsing failed",
        "invalid_model_file",
        "the file is not a whole ONNX model",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "file/2",
        r"ModelProto does not have a graph|No graph was found in the protobuf",
        "invalid_model_file",
        "the file is not a whole ONNX model",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "file/3",
        r"ORT model verification failed|invalid ORT format model|The ORT format model version",
        "invalid_model_file",
        "the file is not a whole model in the ORT format",
        ("1.16.3", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "file/4",
        r": NO_SUCHFILE :",
        "invalid_model_file",
        "the file is not there",
        ("1.16.3", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "tensor-data/1",
        r"CopyLittleEndian source and destination buffer size mismatch",
        "invalid_model_file",
        "a tensor's data in the file have another length than its shape says",
        ("1.16.3", "1.24.1"),
        *LOADING,
    ),
    pattern(
        "tensor-data/2",
        r"Initializer '(?P<subject>[^']*)': raw_data size \(\d+ bytes\) does not match expected size",
        "invalid_model_file",
        "the data of {subject} in the file have another length than its shape says",
        ("1.32.0", "1.32.0"),
        *LOADING,
    ),
    # Operators and element types.
    pattern(
        "op-no-kernel/1",
        r"Could not find an implementation for (?:(?P<domain>[\w.]+)[.:])?(?P<operator>\w+)\((?P<op_version>-?\d+)\)"
        r"(?: node with name '(?P<node>[^']*)')?",
        "unsupported_op",
        "{runtime} has no kernel for operator {what}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "op-no-kernel/2",
        r"Failed to find kernel for (?:(?P<domain>[\w.]+)[.:])?(?P<operator>\w+)\((?P<op_version>-?\d+)\)"
        r"(?: \(node:'(?P<node>[^']*)')?",
        "unsupported_op",
        "{runtime} has no kernel for operator {what}",
        ("1.32.0", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "op-unknown/1",
        _IN_NODE + r"No Op registered for \w+ with domain_version of (?P<at>\d+)",
        "unsupported_op",
        "{runtime} does not know operator {what} at opset {at}",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "op-foreign/1",
        r"(?<![\w.])(?P<domain>[\w.]+):(?P<operator>\w+)\((?P<op_version>-?\d+)\) is not a registered function/op",
        "unsupported_op",
        "{runtime} has no kernel for operator {what}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "op-domain/1",
        _IN_NODE + r"No opset import for domain '[^']*'",
        "unsupported_op",
        "the model calls operator {what} and does not say of which opset",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "op-deprecated/1",
        _IN_NODE + r"Op registered for \w+ is deprecated in domain_version of (?P<at>\d+)",
        "unsupported_op",
        "operator {what} is gone from opset {at}",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "element-type/1",
        r"MLDataType for: (?P<types>tensor\(\w+\)) is not currently registered or supported",
        "element_type_unsupported",
        "{runtime} does not have the element type {types}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "element-type/2",
        r"Invalid tensor data type (?P<subject>\d+)",
        "element_type_unsupported",
        "{runtime} does not have the element type of number {subject}",
        ("1.15.1", "1.32.0"),
    ),
    pattern(
        "element-type/3",
        r"Node \((?P<node>.*?)\) Op \((?P<operator>\w+)\) \[TypeInferenceError\] Attribute to does not specify a valid type",
        "element_type_unsupported",
        "{runtime} does not have the element type that {what} casts to",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    # The graph.
    pattern(
        "graph-type/1",
        r"Type Error: Type '(?P<types>[^']*)' of input parameter \((?P<subject>.*?)\) of operator \((?P<operator>\w+)\) "
        r"in node \((?P<node>.*?)\) is invalid",
        "invalid_graph",
        "operator {what} does not take that type at this opset",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-type/2",
        r"Type Error: Type parameter \(\w+\) of Optype \((?P<operator>\w+)\) bound to different types "
        r"\((?P<types>tensor\(\w+\) and tensor\(\w+\)) in node \((?P<node>.*?)\)",
        "invalid_graph",
        "operator {what} is given two types where it takes one",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-type/3",
        r"Type Error: Type \((?P<types>tensor\(\w+\))\) of output arg \((?P<subject>.*?)\) of node \((?P<node>.*?)\) "
        r"does not match expected type",
        "invalid_graph",
        "output {subject} of node {node} is declared with a type that it does not have",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-inference/1",
        r"Node \((?P<node>.*?)\) Op \((?P<operator>\w+)\) \[(?:Shape|Type)InferenceError\]",
        "invalid_graph",
        "the shapes or types around operator {what} do not fit together",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-node/1",
        _IN_NODE + r"(?:Node ?\(.*?\)(?: with schema\(.*?\))? has (?:input|output) size|Unrecognized attribute: "
        r"|Required attribute '|Mismatched attribute type in ')",
        "invalid_graph",
        "operator {what} has inputs or attributes that it does not take",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-loose/1",
        r"Node input '(?P<subject>[^']*)' is not a graph input, initializer, or output of a previous node",
        "invalid_graph",
        "nothing in the graph makes {subject}, which a node takes",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-loose/2",
        r"Graph output \((?P<subject>.*?)\) does not exist in the graph",
        "invalid_graph",
        "nothing in the graph makes its output {subject}",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-cycle/1",
        r"the graph is not acyclic",
        "invalid_graph",
        "the graph has a cycle",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph-twice/1",
        r"Duplicate definition of name \((?P<subject>.*?)\)",
        "invalid_graph",
        "two nodes of the graph make {subject}",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
    pattern(
        "graph/1",
        r": INVALID_GRAPH :",
        "invalid_graph",
        "{runtime} takes the graph for invalid",
        ("1.15.1", "1.32.0"),
        *LOADING,
    ),
)
