"""The state that a series of numbers splits at: what moves it, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.export.result import ExportResult, Produced
from edgesweep.plan.cell import Cell, Variant
from edgesweep.store.cell_state import state_of
from edgesweep.store.records import DeviceRecord, TrialRecord
from edgesweep_proto.device import Device, Reading, Runtime
from edgesweep_proto.execution import Compile
from edgesweep_proto.trial import Stage, TrialOutcome, TrialResult

VARIANT = Variant("net", "dynamo", 18, "static")
EXPORT = ExportResult(VARIANT, Stage.CHECK, produced=Produced(18, 10, {}, "a" * 64, "c" * 64, 10, 3))
ORIN = Device(
    name="orin", agent_version="0.1.0", protocol_version=1, boot_id="b", machine="aarch64", system="Linux", kernel="5.15",
    board="Jetson", cpu_model="Cortex-A78AE", cpu_count=6, allowed_cpus=(), memory_total_bytes=1, state_free_bytes=1,
    python_version="3.10", libc="glibc", uptime_s=1.0, probes=(), emulated=False, hostname="orin",
    drivers={"l4t": "36.4.0", "nvidia": "540.4.0", "amdgpu": "6.8", "i915": "kernel 6.8"},
)  # fmt: skip
RUNTIME = Runtime("gpu-1.23.0", "gpu", "1.23.0", "git-commit-id=a83fc4d", "3.10", "2.1", (), ())
DEVICE = DeviceRecord("orin", "orin:50051", {}, ORIN, (replace(RUNTIME, id="1.23.2", flavour=""), RUNTIME))


def cell(*providers: str, **changes) -> Cell:
    return Cell(VARIANT, "orin", "gpu-1.23.0", providers or ("tensorrt", "cuda"), **changes)


def trial(engine: str = "e" * 64, mode: str | None = "15W", after: str | None = None) -> TrialRecord:
    result = TrialResult(
        "run/key/0/0", TrialOutcome.PASS, Stage.PLACEMENT, compile=Compile("T", "session", 9.0, engine_hash=engine),
        before=Reading(1.0, power_mode=mode), after=Reading(2.0, power_mode=after or mode),
    )  # fmt: skip
    return TrialRecord(result.trial_id, "cell", 0, 0, result)


def state(*trials: TrialRecord, of: Cell | None = None, export: ExportResult = EXPORT, on: DeviceRecord = DEVICE):
    found = state_of(of or cell(), export, trials or (trial(),), on)
    assert found is not None
    return found


def test_it_says_what_was_measured_and_with_what() -> None:
    found = state()
    assert found.digest == "a" * 64
    assert found.build == "gpu 1.23.0 git-commit-id=a83fc4d"
    assert found.driver == "l4t 36.4.0, nvidia 540.4.0"
    assert (found.engine_hash, found.power_mode) == ("e" * 64, "15W")


def test_a_flight_of_equal_nights_has_one_key() -> None:
    later = replace(DEVICE, device=replace(ORIN, boot_id="c", uptime_s=9.0, agent_version="0.2.0"))
    assert state().key == state(trial(), trial(), on=later).key


def other_driver() -> DeviceRecord:
    return replace(DEVICE, device=replace(ORIN, drivers={**ORIN.drivers, "nvidia": "540.5.0"}))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: state(export=replace(EXPORT, produced=replace(EXPORT.produced, digest="f" * 64))),
        lambda: state(on=replace(DEVICE, runtimes=(replace(RUNTIME, build_info="git-commit-id=other"),))),
        lambda: state(on=other_driver()),
        lambda: state(trial(engine="f" * 64)),
        lambda: state(trial(engine="")),
        lambda: state(trial(mode="MAXN")),
        lambda: state(trial(mode="15W", after="MAXN")),
    ],
)
def test_a_change_of_any_of_them_splits_the_series(changed) -> None:
    assert changed().key != state().key


def test_a_driver_that_no_provider_of_the_chain_works_with_splits_nothing() -> None:
    on_cpu = state(of=cell("cpu"))
    assert on_cpu.driver == ""
    assert state(of=cell("cpu"), on=other_driver()).key == on_cpu.key


@pytest.mark.parametrize(
    ("options", "driver"),
    [({}, ""), ({"device_type": "CPU"}, ""), ({"device_type": "GPU"}, "i915 kernel 6.8"), ({"device_type": "AUTO:GPU,CPU"}, "i915 kernel 6.8")],
)  # fmt: skip
def test_openvino_works_with_a_driver_only_off_the_processor(options, driver) -> None:
    assert state(of=cell("openvino", provider_options={"openvino": options})).driver == driver


def test_what_differs_from_trial_to_trial_is_said_to_vary() -> None:
    found = state(trial(engine="1" * 64), trial(engine="2" * 64), trial(engine=""), trial(mode="MAXN"))
    assert (found.engine_hash, found.power_mode) == ("varies", "varies")
    # What a provider compiles anew each night, and never alike, must not split the series each night.
    assert found.key == state(trial(engine="3" * 64), trial(engine="4" * 64), trial(mode="MAXN")).key


def test_without_a_run_or_a_device_there_is_no_state() -> None:
    assert state_of(cell(), EXPORT, (), DEVICE) is None
    assert state_of(cell(), None, (trial(),), DEVICE) is None
    assert state_of(cell(), EXPORT, (trial(),), replace(DEVICE, device=None)) is None
    assert state_of(cell(), EXPORT, (trial(),), None) is None


def test_a_runtime_that_the_device_no_longer_tells_of_has_its_name() -> None:
    assert state(on=replace(DEVICE, runtimes=())).build == "gpu-1.23.0"
