"""The error catalogue: every cause and error code with its public text, remedy, gRPC status and exit code.

A code names either the cause of a cell's outcome (`wrong_output`) or a reason why a command could not go on
(`plan_invalid`). Both live here, so that a code means one thing wherever it is printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; a nightly job branches on it."""

    OK = 0
    FINDING = 1
    USAGE = 2
    NOTHING = 3
    LAB = 4
    CREDENTIALS = 5
    STORE = 6
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Entry:
    """One code. `stable` tells a finding about the model from trouble that may pass by itself.

    `repeatable` tells that the same input gives the same end, so that it need not be tried again: a crash of an exporter
    is a finding, but a result of an earlier day does not answer for today.
    """

    code: str
    text: str
    remedy: str
    stable: bool = True
    exit_code: ExitCode = ExitCode.FINDING
    grpc_status: str = ""
    repeatable: bool = True


def _cause(code: str, text: str, remedy: str, *, stable: bool = True, repeatable: bool = True) -> Entry:
    exit_code = ExitCode.FINDING if stable else ExitCode.LAB
    return Entry(code, text, remedy, stable=stable, exit_code=exit_code, repeatable=stable and repeatable)


def _error(code: str, text: str, remedy: str, exit_code: ExitCode, grpc_status: str = "") -> Entry:
    return Entry(code, text, remedy, stable=exit_code is not ExitCode.LAB, exit_code=exit_code, grpc_status=grpc_status)


_ENTRIES = (
    # Causes of outcomes: export and check
    _cause(
        "factory_failed",
        "the model could not be made as the plan names it",
        "correct what the sentence names; where the factory raised, run it by itself: the traceback is in the detail",
        repeatable=False,
    ),
    _cause(
        "factory_timeout",
        "the model's factory did not return in time",
        "make the factory faster, or raise export.timeout_s in the plan",
        repeatable=False,
    ),
    _cause(
        "export_error",
        "the exporter refused the model",
        "try the other exporter or another opset; the exporter's own words are in the detail",
    ),
    _cause(
        "export_unsupported_op",
        "the exporter has no ONNX form for an operator of the model",
        "use the dynamo exporter, a newer opset, or replace the operator in the model",
    ),
    _cause(
        "export_unsupported_opset",
        "the exporter does not know this opset",
        "ask for an opset that this exporter offers",
    ),
    _cause(
        "export_data_dependent",
        "the model's control flow depends on the values of its input",
        "rewrite the branch with torch.where or torch.cond",
    ),
    _cause(
        "export_timeout",
        "the exporter did not finish in time",
        "raise export.timeout_s in the plan, or make the model smaller",
        repeatable=False,
    ),
    _cause(
        "export_crash",
        "the export process died",
        "see the signal and the last lines of its stderr in the detail",
        repeatable=False,
    ),
    _cause(
        "export_oom",
        "the export process was killed for memory",
        "export a smaller model or raise export.memory_bytes in the plan",
        repeatable=False,
    ),
    _cause(
        "invalid_graph",
        "the ONNX checker refuses the exported graph",
        "try another opset or the other exporter, and report it to the exporter's project; mend a ready file with the tool "
        "that wrote it",
    ),
    _cause("invalid_model_file", "the file is not a whole ONNX model", "copy or export the file again"),
    _cause(
        "opset_not_honoured",
        "the exporter produced another opset than the one asked for",
        "ask for the opset that was produced, or use the other exporter",
    ),
    _cause(
        "opset_not_registered",
        "an operator in the graph does not exist at the produced opset",
        "use an opset at which the operator exists",
    ),
    _cause(
        "dynamic_dim_static",
        "a dimension asked to be dynamic came out static",
        "trace at a size of at least 2 that the model has no special case for, name the dimension on every input that has "
        "it, and avoid int(x.shape[i]) in the model (docs/export-matrix.md)",
    ),
    _cause(
        "dynamic_dim_refused",
        "the exported model refuses another size of a dynamic dimension",
        "give inputs that change together one name and declare `ranges`; else look for sizes that were baked in during "
        "tracing, e.g. a reshape with constants (docs/export-matrix.md)",
    ),
    _cause(
        "wrong_output",
        "the outputs differ from torch's beyond the tolerance",
        "do not deploy this variant: compare `produced` and the first offending output",
    ),
    _cause(
        "nan_output", "the outputs hold NaN where the reference does not", "check the model's ranges and its precision"
    ),
    _cause(
        "unprovable_here",
        "the host's onnxruntime cannot load the artifact, so nothing was proven",
        "install a newer onnxruntime on the host",
        repeatable=False,
    ),
    _cause(
        "type_unsupported",
        "the model takes or returns tensors of a type that no board can be fed with or compared",
        "take and return float32, float16, float64, integers or booleans: cast at both ends of forward()",
    ),
    _cause(
        "not_repeatable",
        "the model gives other outputs for the same inputs, so no export of it can be proven",
        "take what is random out of forward(), and pass what it keeps from call to call in and out as tensors",
    ),
    _cause(
        "interface_mismatch",
        "the artifact's inputs are not those of the model",
        "use the other exporter, and report it to this exporter's project",
    ),
    _cause(
        "ir_not_lowerable",
        "the artifact uses what no IR version under the cap has",
        "raise ir_version in the plan, or ask for a lower opset or another precision",
    ),
    _cause(
        "optimiser_failed",
        "the optimiser could not rewrite the exported graph",
        "leave this optimiser out for the model; its own words are in the detail",
    ),
    _cause(
        "precision_unsupported",
        "the model cannot be converted to this precision",
        "use another precision; the converter's own words are in the detail",
    ),
    _cause(
        "precision_lost",
        "the fp32 artifact is right, and the conversion to this precision moved its outputs beyond the tolerance",
        "use another precision, or keep the offending part of the model in fp32",
    ),
    # Causes of outcomes: skipped
    _cause(
        "package_missing",
        "the model needs a package that is not installed",
        "install the extra that the message names",
    ),
    _cause(
        "predicted_failure",
        "the runtime's own limits say that it cannot load the artifact",
        "see `prediction` for the limit and the cell that proved it; `skip: nothing` in the plan tries every cell",
    ),
    _cause(
        "no_such_dimension",
        "the axes profile names a dimension that the model does not declare",
        "declare it under `dynamic:` or drop the profile for this model",
    ),
    _cause(
        "shape_refused",
        "the model itself refuses this shape",
        "correct `shapes` or `ranges` in the plan: torch cannot run the model at these sizes",
    ),
    _cause("excluded", "the plan excludes this cell", "see the reason and the date in the plan"),
    # Causes of outcomes: on the device
    _cause(
        "provider_unavailable",
        "the runtime does not have the provider asked for",
        "install a runtime of the flavour that carries it",
    ),
    _cause(
        "runtime_unavailable",
        "the device does not have the runtime asked for",
        "see `edgesweep runtime list NAME`, and add it with `edgesweep runtime install NAME RUNTIME`",
    ),
    _cause(
        "opset_unsupported",
        "the runtime is too old for the model's opset",
        "export at a lower opset or use a newer runtime",
    ),
    _cause(
        "ir_unsupported",
        "the runtime is too old for the model's IR version",
        "lower the artifact's ir_version or use a newer runtime",
    ),
    _cause(
        "unsupported_op",
        "the runtime has no kernel for an operator of the model",
        "use another opset, precision or provider",
    ),
    _cause(
        "external_data_missing",
        "the model names external data that is not there",
        "keep the .onnx file and its data files in one folder and push again",
    ),
    _cause(
        "shape_mismatch",
        "the session refuses the shape of an input",
        "check `dynamic` and `shapes` in the plan against the model's own inputs",
    ),
    _cause("load_error", "onnxruntime could not make a session", "see the runtime's own message in the detail"),
    _cause("run_error", "onnxruntime failed while it ran the model", "see the runtime's own message in the detail"),
    _cause(
        "no_nodes",
        "the provider asked for got no node of the model",
        "use a model or an opset that the provider supports, or ask for the CPU",
    ),
    _cause(
        "partial_placement",
        "some nodes ran outside the provider asked for",
        "see `placement` for the nodes, or set `fallback: allow`",
    ),
    _cause("oom", "the worker ran out of memory", "use a smaller model, batch or shape on this board"),
    _cause("crash", "the worker process died", "see the signal and the last lines of its stderr in the detail"),
    _cause(
        "timeout",
        "the worker made no progress within the stage's deadline",
        "raise measure.deadlines_s for the stage in the plan",
    ),
    _cause(
        "worker_protocol",
        "the worker ended without a result",
        "see its stderr in the detail; the runtime's environment may be broken",
    ),
    # Transient: say nothing about the model
    _cause(
        "interrupted",
        "the agent or the board went down under the trial",
        "resume the run: the trial is run again",
        stable=False,
    ),
    _cause("cancelled", "the trial was cancelled before it ended", "resume the run", stable=False),
    _cause(
        "device_unreachable",
        "the device did not answer within the retry budget",
        "check the board, then `edgesweep run --resume RUN`",
        stable=False,
    ),
    _cause(
        "upload_failed",
        "the artifact did not reach the device",
        "check the link and the device's disk, then resume the run",
        stable=False,
    ),
    _cause("not_run", "the run ended before this cell's turn", "resume the run", stable=False),
    _cause(
        "export_host_trouble",
        "the host could not finish the export",
        "free disk space, memory or open files on the host, or start a lost Dask worker again, then resume the run: "
        "the variant is exported again",
        stable=False,
    ),
    _cause("unknown", "an error that the catalogue does not know", "see the detail, and report it", repeatable=False),
    # Errors of commands
    _error(
        "plan_invalid",
        "the plan is not valid",
        "correct the line named above; `edgesweep plan schema` prints every key",
        ExitCode.USAGE,
    ),
    _error("config_invalid", "a configuration file is not valid", "correct the line named above", ExitCode.USAGE),
    _error("model_unusable", "a model of the plan cannot be loaded", "correct the model named above", ExitCode.USAGE),
    _error(
        "inputs_unusable",
        "the inputs that were given do not fit the model",
        "correct the .npz file: numpy.savez(file, name=array) with the names, types and shapes of the model's inputs",
        ExitCode.USAGE,
    ),
    _error("usage", "the command line is wrong", "see --help", ExitCode.USAGE),
    _error(
        "unknown_device", "no device of that name is in the inventory", "see `edgesweep device list`", ExitCode.USAGE
    ),
    _error("unknown_run", "no such run", "see `edgesweep runs --kind all`", ExitCode.USAGE),
    _error(
        "unknown_cell",
        "no run holds a cell or variant of that name",
        "see the names with `edgesweep report RUN` or `edgesweep export matrix PLAN`",
        ExitCode.USAGE,
    ),
    _error(
        "missing_extra", "this needs packages that are not installed", "pip install 'edgesweep[export]'", ExitCode.USAGE
    ),
    _error(
        "cluster_unreachable",
        "the Dask cluster of the plan cannot be used",
        "start it, or correct export.address in the plan: dask scheduler; dask worker tcp://HOST:8786",
        ExitCode.LAB,
    ),
    _error(
        "cluster_differs",
        "the Dask cluster's workers would not export as this controller would",
        "install the same versions on the workers as here, and start them again",
        ExitCode.LAB,
    ),
    _error(
        "run_in_progress",
        "another process is working on this run",
        "wait for it, or follow it with `edgesweep report RUN`",
        ExitCode.LAB,
    ),
    _error("nothing_selected", "the plan selects no cell", "see `edgesweep run PLAN --dry-run`", ExitCode.NOTHING),
    _error("no_runs", "there is no run yet", "start one with `edgesweep run PLAN`", ExitCode.NOTHING),
    _error(
        "machine_busy",
        "another measurement runs on this machine",
        "wait for it to end, and measure one after the other",
        ExitCode.LAB,
    ),
    _error(
        "machine_unfit",
        "this machine could not run the measurement",
        "free memory and disk space on it, and try again",
        ExitCode.LAB,
    ),
    _error(
        "unreachable",
        "the device does not answer",
        "check that its agent runs and the address in `edgesweep device show NAME`",
        ExitCode.LAB,
        "UNAVAILABLE",
    ),
    _error(
        "handshake_refused",
        "the device and this controller do not trust each other",
        "issue both certificates from one CA: `edgesweep pki issue NAME`",
        ExitCode.CREDENTIALS,
        "UNAVAILABLE",
    ),
    _error(
        "not_authorised",
        "this controller's certificate is not allowed here",
        "issue a controller certificate: `edgesweep pki init`",
        ExitCode.CREDENTIALS,
        "PERMISSION_DENIED",
    ),
    _error(
        "certificate_unusable",
        "a certificate or key cannot be used",
        "issue it again with `edgesweep pki issue NAME`",
        ExitCode.CREDENTIALS,
    ),
    _error(
        "protocol_mismatch",
        "controller and agent speak different versions of the contract",
        "install the same version of edgesweep-agent on the device",
        ExitCode.LAB,
        "FAILED_PRECONDITION",
    ),
    _error(
        "lease_held",
        "another controller holds the device",
        "wait for it or see `edgesweep device show NAME`",
        ExitCode.LAB,
        "RESOURCE_EXHAUSTED",
    ),
    _error(
        "lease_lost",
        "the lease was lost: its fencing number is no longer valid",
        "run again; another controller may have taken the device",
        ExitCode.LAB,
        "ABORTED",
    ),
    _error(
        "disk_full",
        "the device has no room for the artifact",
        "free space under the agent's state folder, or give it a larger disk",
        ExitCode.LAB,
        "RESOURCE_EXHAUSTED",
    ),
    _error(
        "digest_mismatch",
        "the bytes that arrived are not the ones that were named",
        "push again; if it comes back, check the link and the disk",
        ExitCode.LAB,
        "DATA_LOSS",
    ),
    _error(
        "offset_mismatch",
        "the upload does not go on where the agent's copy ends",
        "ask for the missing blobs again and go on from that offset",
        ExitCode.LAB,
        "OUT_OF_RANGE",
    ),
    _error(
        "blob_missing",
        "the device does not hold a blob that the trial needs",
        "push the artifact again",
        ExitCode.LAB,
        "FAILED_PRECONDITION",
    ),
    _error(
        "invalid_request",
        "the request is not valid",
        "install the same version on controller and device",
        ExitCode.LAB,
        "INVALID_ARGUMENT",
    ),
    _error(
        "trial_exists",
        "another trial of that id exists already",
        "this is a bug of the controller: report it",
        ExitCode.BUG,
        "ALREADY_EXISTS",
    ),
    _error(
        "unknown_trial",
        "the agent knows no trial of that id",
        "it may have been acknowledged and pruned: see `edgesweep runs`",
        ExitCode.LAB,
        "NOT_FOUND",
    ),
    _error(
        "busy_measuring",
        "the device is measuring and takes no upload now",
        "wait for the trial to end; the controller does so by itself",
        ExitCode.LAB,
        "UNAVAILABLE",
    ),
    _error(
        "store_unusable",
        "the store cannot be opened",
        "check the path and its permissions, or set EDGESWEEP_HOME",
        ExitCode.STORE,
    ),
    _error(
        "store_newer", "the store was written by a newer Edgesweep", "install that version or newer", ExitCode.STORE
    ),
    _error(
        "unknown_runtime",
        "the device has no such runtime",
        "see `edgesweep runtime list DEVICE`",
        ExitCode.USAGE,
    ),
    _error(
        "no_interpreter",
        "the board has no Python that a runtime could live in",
        "install Python 3.8 or newer with its venv module on the board, or name one with --python",
        ExitCode.USAGE,
    ),
    _error(
        "runtime_unfit",
        "no wheel of this runtime fits the board",
        "ask for another version, install another Python on the board, or give a vendor's wheel with --file",
        ExitCode.USAGE,
    ),
    _error(
        "runtime_broken",
        "the runtime cannot be used on the board",
        "install what its message names, or another version or flavour",
        ExitCode.LAB,
    ),
    _error(
        "state_dir_unusable",
        "the agent's state folder on the board cannot be used",
        "give the folder of the agent's --state-dir with --state-dir, and log in as the user that it runs as",
        ExitCode.LAB,
    ),
    _error(
        "index_unreachable",
        "the package index does not answer",
        "collect the wheels where there is one, and give their folder with --wheels",
        ExitCode.LAB,
    ),
    _error("install_failed", "the runtime could not be installed", "see the message, and try again", ExitCode.LAB),
    _error(
        "ssh_unreachable",
        "the board cannot be reached over ssh",
        "ssh to it by hand, and give the same host with --ssh",
        ExitCode.LAB,
    ),
    _error(
        "ssh_refused",
        "the board refuses the ssh connection",
        "ssh to it by hand without a password, and give the same host with --ssh",
        ExitCode.CREDENTIALS,
    ),
    _error("bug", "a bug in Edgesweep", "report it with the traceback that was saved", ExitCode.BUG, "INTERNAL"),
)

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES}


class EdgesweepError(Exception):
    """A reason why a command cannot go on, told to the user in one sentence with a remedy."""

    def __init__(self, code: str, message: str = "", *, remedy: str = "") -> None:
        entry = CATALOGUE[code]
        self.code = code
        self.message = message or entry.text
        self.remedy = remedy or entry.remedy
        super().__init__(self.message)

    @property
    def exit_code(self) -> ExitCode:
        """The exit status of the command that this error ends."""
        return CATALOGUE[self.code].exit_code


def remedy_for(cause: str) -> str:
    """What to try about `cause`; empty for a cause that is not in the catalogue."""
    entry = CATALOGUE.get(cause)
    return entry.remedy if entry else ""


def is_repeatable(cause: str) -> bool:
    """Whether what ended with `cause` would end so again, and may be answered from a cache; a pass (empty) would."""
    return not cause or (cause in CATALOGUE and CATALOGUE[cause].repeatable)
