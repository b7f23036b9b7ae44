"""Figures of control groups and of the whole machine, on fake trees: this suite's own group holds more than one process."""

from __future__ import annotations

import os

import pytest
from edgesweep_worker import kernel_memory, memory

MIB = 1 << 20


class FakeSystem:
    """A fake /proc and /sys/fs/cgroup of a process that has a cgroup v2 for itself."""

    def __init__(self, folder):
        self.folder, self.root = folder, str(folder)
        self.group = folder / "sys/fs/cgroup/worker.scope"
        self.group.mkdir(parents=True)
        (folder / "proc/self").mkdir(parents=True)
        self.write("proc/self/cgroup", "0::/worker.scope\n")
        self.write("proc/self/status", "VmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n")
        self.available(900)
        self.members(os.getpid())
        self.charge(10)
        self.high_water(30)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def members(self, *pids):
        (self.group / "cgroup.procs").write_text("".join(str(pid) + "\n" for pid in pids))

    def charge(self, mib):
        (self.group / "memory.current").write_text(str(mib * MIB) + "\n")

    def high_water(self, mib):
        (self.group / "memory.peak").write_text(str(mib * MIB) + "\n")

    def available(self, mib):
        self.write("proc/meminfo", f"MemTotal:  9999999 kB\nMemAvailable: {mib * 1024} kB\n")


@pytest.fixture
def fake(tmp_path):
    return FakeSystem(tmp_path)


def test_a_group_of_its_own_tells_its_peak_over_the_loaded_worker(fake):
    meter = memory.MemoryMeter(root=fake.root)
    fake.high_water(74)
    (phase,) = meter.others()
    assert (phase["phase"], phase["size_bytes"]) == ("cgroup_peak", 64 * MIB)
    assert "memory.peak of the worker's own cgroup v2" in phase["method"]
    meter.release_threshold()


def test_figures_of_an_emulator_say_so(fake):
    assert "emulator" not in memory.MemoryMeter(root=fake.root).peak("session_peak")["method"]
    fake.write("proc/self/status", "Name:\tqemu-aarch64-st\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n")
    phase = memory.MemoryMeter(root=fake.root).peak("session_peak")
    assert phase["size_bytes"] == MIB
    assert phase["method"].endswith("with the emulator's translated code, over the loaded worker")


def test_a_group_with_another_process_is_not_ours(fake):
    fake.members(os.getpid(), os.getppid())
    assert kernel_memory.own_group(fake.root) is None
    assert memory.MemoryMeter(root=fake.root).others() == []


@pytest.mark.parametrize("missing", ["memory.peak", "memory.current", "cgroup.procs"])
def test_a_kernel_without_the_figure_has_no_such_phase(fake, missing):
    (fake.group / missing).unlink()
    assert kernel_memory.own_group(fake.root) is None


def test_groups_of_the_first_version_are_left_alone(fake):
    fake.write("proc/self/cgroup", "4:memory:/worker.scope\n1:cpu:/\n")
    assert kernel_memory.own_group(fake.root) is None


def test_the_method_says_since_when_the_peak_counts(fake, monkeypatch):
    monkeypatch.setattr(kernel_memory.OwnGroup, "_reset", lambda self: False)
    (phase,) = memory.MemoryMeter(root=fake.root).others()
    assert "since the group was made" in phase["method"]


def test_the_machine_is_looked_at_only_where_memory_is_unified(fake):
    fake.members()
    plain, unified = memory.MemoryMeter(root=fake.root), memory.MemoryMeter(root=fake.root, unified=True)
    for available in (800, 500, 700):
        fake.available(available)
        plain.peak("session_peak")
        unified.peak("session_peak")
    assert plain.others() == []
    (phase,) = unified.others()
    assert (phase["phase"], phase["size_bytes"]) == ("system_delta", 400 * MIB)
    assert "MemAvailable" in phase["method"]


def test_this_kernel_tells_shares_that_lie_below_what_is_resident():
    found = kernel_memory.shares()
    if found is None:
        pytest.skip("this kernel has no smaps_rollup")
    assert 0 < found.private <= found.pss <= kernel_memory.status_bytes("VmRSS") + MIB


def test_a_system_without_these_files_has_no_figures(tmp_path):
    root = str(tmp_path)
    assert kernel_memory.shares(root) is None
    assert kernel_memory.available_bytes(root) is None
    assert kernel_memory.status_bytes("VmRSS", root) is None
    assert not kernel_memory.reset_high_water(root)
