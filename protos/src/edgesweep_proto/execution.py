"""How a runtime took a model: what it compiled, where the nodes' time went, what came out, and why it refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShapeChange:
    """A run at another shape than the one before, and one more at that shape, in seconds.

    An empty `shape` is the way back to the cell's own.
    """

    shape: str
    first_run_s: float
    next_run_s: float
    rebuilt: bool


@dataclass(frozen=True, slots=True)
class Compile:
    """What a provider compiled for the model.

    `seconds` are those of the step that the compilation is `part_of` (session or first_run; empty for one that compiles nothing). Files are those of the
    provider's own cache, `engine_hash` the SHA-256 over their names and contents, empty when it keeps none. `rebuilds`
    counts compilations after the first run, those of `shape_changes` among them; None when nothing shows them.
    """

    provider: str
    part_of: str
    seconds: float
    files_before: int = 0
    files_after: int = 0
    bytes_after: int = 0
    engine_hash: str = ""
    rebuilds: int | None = None
    shape_changes: tuple[ShapeChange, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the optimised graph; `seconds` is the median over the profiled runs of all its `calls` in a run.

    Time of nodes inside it is not its own. `operator` has its domain in front when that is not ai.onnx and the runtime
    tells it; of a part that a provider compiled it is the part's name, and `holds` names the graph's nodes in it, where that
    is told. Sizes are as the runtime tells them.
    """

    name: str
    operator: str
    provider: str
    seconds: float
    calls: int = 1
    output_bytes: int | None = None
    parameter_bytes: int | None = None
    activation_bytes: int | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """The slowest nodes, slowest first, over `runs` profiled runs; `left_out` more took `left_out_s` together."""

    runs: int
    nodes: tuple[NodeTime, ...]
    left_out: int = 0
    left_out_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OutputSummary:
    """An output of the first run in short.

    `type` is numpy's name, `sha256` of the bytes in C order and little-endian (above 64 MiB of every k-th element only).
    `values` stand at the flat positions floor(i * elements / len(values)), NaN as 0, infinity as the largest double.
    `max_absolute` is over all finite elements; None when there is none. `run_difference` is the largest one seen between two
    runs with the same inputs: 0 where all were equal bit for bit, None where that is not known.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    sha256: str
    values: tuple[float, ...] = ()
    max_absolute: float | None = None
    nans: int = 0
    run_difference: float | None = None


@dataclass(frozen=True, slots=True)
class OperatorFault:
    """An operator that a runtime cannot run; `version` is that of its definition, `types` are numpy's names."""

    domain: str
    name: str
    version: int | None = None
    types: tuple[str, ...] = ()
    node: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a cause was told from: `evidence` is message, status, file, signal, kernel, deadline, comparison or placement.

    `pattern` names what recognised the runtime's words, `status` is onnxruntime's code. `normalised` are the words without
    what changes from run to run, `message_hash` their SHA-256: equal for the same trouble on every board.
    """

    evidence: str
    pattern: str = ""
    status: str = ""
    subject: str = ""
    operator: OperatorFault | None = None
    normalised: str = ""
    message_hash: str = ""
