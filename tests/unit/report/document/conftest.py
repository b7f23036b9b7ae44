"""A run with every kind of cell, as the store gives it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.compat.prediction import Prediction, PredictionState
from edgesweep.errors import remedy_for
from edgesweep.export.result import ExportResult, Payload, Produced, SizeProof
from edgesweep.plan.cell import Cell, Session, Shape, Skip, Variant
from edgesweep.stats.modes import Mode
from edgesweep.stats.series import Course, Series
from edgesweep.stats.summary import combine, summarise
from edgesweep.stats.sustained import Sustained
from edgesweep.store.records import (
    CellEnd,
    CellRecord,
    DeviceRecord,
    Outcome,
    RunRecord,
    RunState,
    RunView,
    TrialRecord,
    Verdict,
)
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.device import CpuCluster, Device, ProviderProbe, Reading, Runtime
from edgesweep_proto.evidence import ArenaMemory, DeviceTrace, Energy, Gate, ThreadFacts
from edgesweep_proto.execution import (
    Compile,
    Diagnosis,
    NodeProfile,
    NodeTime,
    OperatorFault,
    OutputSummary,
    ShapeChange,
)
from edgesweep_proto.trial import (
    Accounting,
    ColdStart,
    MemoryPhase,
    Numerics,
    Placement,
    ProviderShare,
    Samples,
    SessionFacts,
    Stage,
    TrialOutcome,
    TrialResult,
)

RUN = RunRecord(
    "20261123-201500-nightly-3f2a", "nightly", "ab" * 32, "version: 1\n", {"version": 1}, "/lab", 1795600000.0, 1795600060.0,
    RunState.COMPLETE, "0.1.0", {"hostname": "workbench", "python": "3.11.7"}, 42,
)  # fmt: skip
DEVICE = DeviceRecord(
    "pi5", "pi5.lab:50051", {"site": "lab1"},
    Device(
        name="pi5", agent_version="0.1.0", protocol_version=1, boot_id="b", machine="aarch64", system="Debian", kernel="6.12",
        board="Raspberry Pi 5", cpu_model="Cortex-A76", cpu_count=4, allowed_cpus=(0, 1, 2, 3), memory_total_bytes=2**33,
        state_free_bytes=2**35, python_version="3.11", libc="glibc", uptime_s=10.0, probes=("thermal",), emulated=False,
        hostname="pi5", clusters=(CpuCluster((0, 1, 2, 3), 2.4e9, 1024),), clock_control="cpufreq",
    ),
    (Runtime("1.23.2", "", "1.23.2", "info", "3.11", "2.1", ("CPUExecutionProvider",), (ProviderProbe("CPUExecutionProvider", 3),)),),
    Reading(1795600000.0, {"cpu": 51.5}, {"cpu0": 2.4e9}, {"cpu0": "performance"}),
)  # fmt: skip


INPUT = Tensor("x", Blob("56" * 32, 160), "float32", (4, 3))
CHANGES = (ShapeChange("batch8", 0.5, 0.01, rebuilt=True), ShapeChange("", 0.006, 0.005, rebuilt=False))
REFUTED = Prediction("opset_unsupported", "opset 17 is above 16", PredictionState.REFUTED, "pi5/mlp", "opset 16")


def cell(model: str = "mobile", opset: int = 17, exporter: str = "dynamo", **changes) -> Cell:
    return replace(
        Cell(
            Variant(model, exporter, opset, "batch"),
            "pi5",
            "1.23.2",
            ("xnnpack", "cpu"),
            Shape((("batch", 4),)),
            Session(2),
        ),
        **changes,
    )


def export(of: Cell, digest: str = "cd" * 32, **changes) -> ExportResult:
    produced = Produced(of.variant.opset, 10, {"x": ("batch",)}, digest, "ef" * 32, 4096, 65, ("", "com.microsoft"))
    passed = ExportResult(
        of.variant, Stage.CHECK, manifest=Manifest(Blob("12" * 32, 1096), (Blob("34" * 32, 3000),)), produced=produced,
        payloads={"batch4": Payload((("batch", 4),), (INPUT,), (), items=4)}, numerics=Numerics(1e-7, 1e-6, 1),
        proof=(SizeProof("batch=2"), SizeProof("batch=9")), seconds=2.5,
    )  # fmt: skip
    return replace(passed, **changes)


def trial(of: Cell, round_no: int, *, median_ns: int = 1_000_000, peak: int = 2000, **changes) -> TrialRecord:
    trial_id = f"{RUN.id}/{of.key}/{round_no}/0"
    latency = summarise([median_ns - 1000, median_ns, median_ns + 1000] * 50, batch=2)
    result = TrialResult(
        trial_id, TrialOutcome.PASS, Stage.PLACEMENT, started=1795600001.0 + round_no, finished=1795600003.0 + round_no, boot_id="b",
        session=SessionFacts("1.23.2", ("XnnpackExecutionProvider", "CPUExecutionProvider"), 2, "all", "bound"),
        cold_start=ColdStart(0.1, 0.02 * (round_no + 1), 0.003, 0.002, 0.05, "warm", 1.0, "none"),
        memory=(
            MemoryPhase("session_peak", 1000, "VmHWM"), MemoryPhase("first_run_peak", 1500, "VmHWM"),
            MemoryPhase("steady_peak", peak, "VmHWM", 2000, 1900), MemoryPhase("retained", 900, "VmRSS"),
        ),
        node_profile=NodeProfile(5, (NodeTime("conv", "Conv", "XnnpackExecutionProvider", 6e-4 + 1e-4 * round_no, 1, 400, 1200, 800), NodeTime("soft", "Softmax", "CPUExecutionProvider", 2e-4, 2, 40, 0, 40)), 3, 1e-5),
        outputs=(OutputSummary("y", "float32", (4,), "77" * 32, (1.0, 2.0, 3.0, 4.0), 4.0, 0, 0.0),),
        placement=Placement("assignment", "aa", (ProviderShare("XnnpackExecutionProvider", 60, 0.9), ProviderShare("CPUExecutionProvider", 5, 0.1))),
        numerics=Numerics(1e-6 * (round_no + 1), 1e-5, 1),
        accounting=Accounting(2.0, 1.9, 0.01 * (round_no + 1), 3, 0, 1, 5, 0.04, 0.02, 0.1, 2),
        samples=Samples(Blob("56" * 32, 1224), 3, 150, 2, "ci", "steady"),
        before=Reading(1795600001.0, {"cpu": 50.0 + round_no}), after=Reading(1795600003.0, {"cpu": 60.0 + round_no}, throttle=("soft_limit",)),
        tags=("partial",), harness_floor_s=1.3e-6, threads=ThreadFacts((0, 1), (0,), ("1",), pinned=True),
        gates=(Gate("idle", passed=True, waited_s=0.0, value=0.01, limit=0.1), Gate("thermal", passed=round_no < 2, waited_s=10.0, value=70.0 + round_no, limit=71.5, note="cpu")),
        trace=DeviceTrace(10, 0.2, 2.0, {"policy0": 2.4e9}, {"policy0": 2.2e9 + round_no}, {"policy0": 2.3e9}, {"cpu": 50.0}, {"cpu": 60.0 + round_no}, sampler_cpu_s=0.01, agent_cpu_s=0.01, sampler_cpu=3),
        compile=Compile("XnnpackExecutionProvider", "session", 0.02 * (round_no + 1), 0, 1, 4096, "ab" * 32, round_no, CHANGES), energy=Energy("pmic", ("VDD",), 30.0, 60.0, 0.2, 2.0, 0.02), arena=ArenaMemory(2000, 1900, 2048, 4096, "profile"),
    )  # fmt: skip
    modes = (Mode(0.001, 0.7), Mode(0.002, 0.3))
    series = (
        Series(Course.WARMUP, 12, -0.2)
        if round_no == 1
        else Series(Course.FLAT, 0, 0.01, modes, None, Sustained((1.0, 1.3), 1.3))
    )
    return TrialRecord(trial_id, of.name, round_no, 0, replace(result, **changes), latency, "56" * 32, series)


def failed(of: Cell, outcome: Outcome, stage: str, cause: str, message: str, **changes) -> CellEnd:
    return CellEnd(of.name, outcome, stage, cause, message, remedy_for(cause), **changes)


def build_view() -> RunView:
    """Measured, sharing, dishonest, lost, skipped, falling back, crashed: one cell each, and one not yet run."""
    measured, sharing = cell(), cell(opset=18)
    trials = tuple(
        trial(measured, number, median_ns=1_000_000 * (number + 1), peak=2000 + number) for number in range(3)
    )
    end = CellEnd(
        measured.name, Outcome.PASS, "placement", verdict=Verdict.DOUBTFUL, reasons=("throttled: soft_limit; cool the device",),
        tags=("partial",), latency=combine([item.latency for item in trials if item.latency]), items_per_inference=4,
    )  # fmt: skip
    dishonest, lost, skipped = (
        cell(opset=23),
        cell("segmenter"),
        cell("segmenter", 13, skip=Skip("excluded", "see the tracker")),
    )
    fallen, crashed = cell("mlp"), cell("mlp", exporter="torchscript")
    crash = trial(
        crashed, 0, outcome=TrialOutcome.FAILED, stage=Stage.FIRST_RUN, cause="crash", message="killed by signal 11", signal=11,
        evidence="Segmentation fault", samples=None, placement=None, numerics=None, memory=(), cold_start=None, compile=None, tags=("also:oom",),
        diagnosis=Diagnosis("message", "", "FAIL", "libx.so", OperatorFault("ai.onnx", "Det", 11, ("float16",), "/h/Det"), "it broke", "ab" * 32),
    )  # fmt: skip
    return RunView(
        RUN,
        (DEVICE, DeviceRecord("gone", "gone.lab:50051", {}, None)),
        (
            CellRecord(measured, end, export(measured), trials),
            CellRecord(sharing, replace(end, cell_name=sharing.name, same_as=measured.name), export(sharing)),
            CellRecord(
                dishonest,
                failed(dishonest, Outcome.FAILED, "check", "opset_not_honoured", "asked for 23, got 20", see=sharing.name, detail="x"),
                export(dishonest, digest="78" * 32, cause="opset_not_honoured", message="asked for 23, got 20", numerics=None),
            ),
            CellRecord(lost, failed(lost, Outcome.LOST, "upload", "device_unreachable", "no answer for 120 s"), export(lost, "9a" * 32)),
            CellRecord(skipped, failed(skipped, Outcome.SKIPPED, "plan", "excluded", "see the tracker"), None),
            CellRecord(
                fallen,
                failed(fallen, Outcome.FALLBACK, "placement", "no_nodes", "0 of 3 nodes", prediction=REFUTED),
                export(fallen, "bc" * 32, numerics=Numerics(float("inf"), float("nan"), 1, "y[0]")),
            ),
            CellRecord(
                crashed,
                failed(crashed, Outcome.FAILED, "first_run", "crash", "killed by signal 11", tags=("also:oom",), also=("timeout",)),
                export(crashed, "de" * 32),
                (replace(crash, latency=None, samples_digest=None),),
            ),
        ),
    )  # fmt: skip


@pytest.fixture
def view() -> RunView:
    return build_view()


@pytest.fixture
def unfinished_view(view: RunView) -> RunView:
    """The same run, interrupted before its last cell ended."""
    waiting = replace(view.cells[-1], end=None, trials=())
    return replace(view, run=replace(RUN, state=RunState.INTERRUPTED, finished=None), cells=(*view.cells[:-1], waiting))


def elsewhere(view: RunView, device: str, *values: float, error: float = 1e-3, **changes) -> CellRecord:
    """The first cell of the view on another device, where it gave other outputs."""
    there = replace(view.cells[0].cell, device=device)
    output = OutputSummary("y", "float32", (4,), f"{values}", values, max(values), 0, 0.0)
    ran = trial(there, 0, outputs=(output,), numerics=Numerics(error, error, 1), **changes)
    end = replace(view.cells[0].end, cell_name=there.name)
    return CellRecord(there, end, export(there), (ran,))


@pytest.fixture
def places_view(view: RunView) -> RunView:
    """The same run with a second device that agrees and a third that does not."""
    close, off = elsewhere(view, "rock", 1.0, 2.0, 3.0, 4.0001), elsewhere(view, "nano", 1.0, 2.0, 3.5, 4.0)
    return replace(view, cells=(*view.cells, close, off))
