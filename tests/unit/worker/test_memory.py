"""Memory figures against blocks of known size, and how they say that they were read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from edgesweep_worker import memory

MIB = 1 << 20

# In a process of its own: a test process has freed memory of every kind lying about.
SCRIPT = """
import mmap
import json, sys
sys.path.insert(0, sys.argv[1])
from edgesweep_worker.memory import MemoryMeter
def block():
    area = mmap.mmap(-1, 64 << 20)
    for at in range(0, len(area), 4096):
        area[at] = 1
    return area
meter = MemoryMeter()
meter.begin()
gone = block()
gone.close()
peak = meter.peak("session_peak")
meter.begin()
quiet = meter.peak("first_run_peak")
kept = block()
print(json.dumps([peak, quiet, meter.retained()]))
"""


def test_a_block_that_came_and_went_is_seen_once():
    import json

    folder = str(memory.__file__).rsplit("/", 2)[0]
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT, folder], check=True, stdout=subprocess.PIPE)
    peak, quiet, retained = json.loads(done.stdout)
    assert abs(peak["size_bytes"] - 64 * MIB) < MIB
    if "not writable" in peak["method"]:
        pytest.skip("this kernel does not reset the high-water mark")
    assert quiet["size_bytes"] < MIB
    assert abs(retained["size_bytes"] - 64 * MIB) < MIB
    assert peak["phase"] == "session_peak"
    assert "VmHWM reset by clear_refs" in peak["method"]
    assert "malloc_trim" in retained["method"]


def test_the_method_says_when_the_mark_cannot_be_reset(monkeypatch):
    monkeypatch.setattr(memory.kernel_memory, "reset_high_water", lambda root: False)
    meter = memory.MemoryMeter()
    meter.begin()
    assert "clear_refs not writable" in meter.peak("session_peak")["method"]
    meter.release_threshold()


def test_a_system_without_proc_has_no_figures(monkeypatch):
    monkeypatch.setattr(memory.kernel_memory, "status_bytes", lambda field, root: None)
    meter = memory.MemoryMeter()
    assert not meter.available
    meter.release_threshold()


def test_a_phase_never_has_less_than_nothing(monkeypatch):
    meter = memory.MemoryMeter()
    monkeypatch.setattr(meter, "_base", 1 << 50)
    assert meter.peak("session_peak")["size_bytes"] == 0
    meter.release_threshold()
