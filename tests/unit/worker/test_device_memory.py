"""An accelerator's own memory, from a library with NVML's interface: what is shown is how it is asked, not what a GPU does."""

import ctypes
import os
import shutil
import subprocess

import pytest
from edgesweep_worker.device_memory import DeviceMemory

#: Two devices. `mine` is what this process holds on the first (-2: it is not among the device's processes, -1: the driver does not tell), `all` what is
#: in use on each; what nvml.h gives the structures is laid out here once more.
FAKE_NVML = """
typedef unsigned int u;
typedef unsigned long long w;
typedef struct { u pid; w used; u a; u b; } process;
typedef struct { w total; w free; w used; } memory;
long long mine = -2;
w all = 0;
u me = 0;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(u *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u i, void **d) { *d = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, u *n, process *p) {
  *n = 1; p[0].pid = 1; p[0].used = 777;
  if ((unsigned long)d == 1 && mine != -2) { *n = 2; p[1].pid = me; p[1].used = (w)mine; }
  return 0; }
int nvmlDeviceGetMemoryInfo(void *d, memory *m) { m->total = 1 << 30; m->used = all; m->free = m->total - all; return 0; }
"""


@pytest.fixture
def library(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    (tmp_path / "nvml.c").write_text(FAKE_NVML)
    path = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(path), str(tmp_path / "nvml.c")], check=True)
    return path


class Gpus:
    """The fake's own variables."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        ctypes.c_uint.in_dll(self._library, "me").value = os.getpid()

    def hold(self, mine, everything):
        ctypes.c_longlong.in_dll(self._library, "mine").value = mine
        ctypes.c_ulonglong.in_dll(self._library, "all").value = everything


def test_what_the_driver_counts_for_this_process_is_taken_and_nothing_of_others(library):
    gpus = Gpus(library)
    gpus.hold(-2, 5000)
    memory = DeviceMemory("nvml", str(library))
    gpus.hold(1 << 33, 9000)
    assert memory.phase("device_session") == [
        {"phase": "device_session", "size_bytes": 1 << 33, "method": "nvml, of this process with its context"}
    ]


@pytest.mark.parametrize("unknown", [-2, -1])
def test_where_processes_are_not_told_it_is_what_the_devices_lost_since(library, unknown):
    gpus = Gpus(library)
    gpus.hold(unknown, 5000)
    memory = DeviceMemory("nvml", str(library))
    gpus.hold(unknown, 9000)
    (phase,) = memory.phase("device_steady")
    assert phase["size_bytes"] == 2 * (9000 - 5000)
    assert phase["method"] == "nvml, of the whole devices over their use before the session"


def test_without_a_driver_or_for_another_provider_nothing_is_told(library, tmp_path):
    assert DeviceMemory("nvml", str(tmp_path / "none.so")).phase("device_session") == []
    assert DeviceMemory("", str(library)).phase("device_session") == []
    broken = tmp_path / "broken.so"
    subprocess.run(["cc", "-shared", "-o", str(broken), "-x", "c", os.devnull], check=True)
    assert DeviceMemory("nvml", str(broken)).phase("device_session") == []
