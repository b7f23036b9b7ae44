"""What the kernel says of a stretch of time, on a recorded /proc and on this machine's own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

from edgesweep_worker.accounting import Machine, read_account, read_machine, thread_wait_ns  # noqa: E402 - not on every system

TICK = 1 / os.sysconf("SC_CLK_TCK")


def recorded(folder, user=0, steal=0, pressure=0, swapped=0):
    """A /proc of a machine with two CPUs, as kernel 6.1 writes it."""
    (folder / "pressure").mkdir(exist_ok=True)
    (folder / "stat").write_text(
        f"cpu  {1000 + user} 20 300 90000 40 5 6 {7 + steal} 0 0\ncpu0 500 10 150 45000 20 2 3 3 0 0\nintr 1\nctxt 2\n"
    )
    (folder / "pressure" / "cpu").write_text(
        f"some avg10=1.53 avg60=0.87 avg300=0.27 total={4_000_000 + pressure}\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    )
    (folder / "vmstat").write_text(f"pgpgin 3\npswpin {11 + swapped}\npswpout 99\n")
    return str(folder)


def test_the_machines_counters(tmp_path):
    machine = read_machine(recorded(tmp_path))
    # user, nice, system, irq and softirq; neither idle, waiting for a disk, nor what a hypervisor took.
    assert machine.busy_s == pytest.approx((1000 + 20 + 300 + 5 + 6) * TICK)
    assert machine.steal_s == pytest.approx(7 * TICK)
    assert (machine.pressure_s, machine.swapped_in_pages) == (4.0, 11)


def test_what_lies_between_two_readings(tmp_path):
    before = read_account(recorded(tmp_path))
    after = read_account(recorded(tmp_path, user=300, steal=50, pressure=250_000, swapped=4))
    after = dataclasses.replace(after, cpu_s=before.cpu_s + 1.0, wait_ns=5_000_000)
    told = dataclasses.replace(before, wait_ns=2_000_000).until(after)
    assert told["cpu_s"] == pytest.approx(1.0)
    assert told["foreign_cpu_s"] == pytest.approx(300 * TICK - 1.0)
    assert told["steal_s"] == pytest.approx(50 * TICK)
    assert told["pressure_s"] == pytest.approx(0.25)
    assert told["swapped_in_pages"] == 4
    assert told["runqueue_wait_s"] == pytest.approx(0.003)


def test_the_ticks_of_the_machine_make_no_negative_time(tmp_path):
    before = read_account(recorded(tmp_path))
    after = dataclasses.replace(read_account(recorded(tmp_path)), cpu_s=before.cpu_s + 0.004)
    assert before.until(after)["foreign_cpu_s"] == 0.0


@pytest.mark.parametrize("broken", ["", "cpu  1 2 3\n", "intr 5\n", "cpu  a b c d e f g h\n"])
def test_what_the_system_does_not_tell_is_none(tmp_path, broken):
    proc = recorded(tmp_path)
    (tmp_path / "stat").write_text(broken)
    (tmp_path / "pressure" / "cpu").unlink()
    (tmp_path / "vmstat").write_text("pgpgin 3\n")
    assert read_machine(proc) == Machine(None, None, None, None)
    told = read_account(proc).until(read_account(recorded(tmp_path)))
    for name in ("foreign_cpu_s", "steal_s", "pressure_s", "swapped_in_pages", "runqueue_wait_s"):
        assert told[name] is None
    assert told["wall_s"] >= 0


def test_the_waiting_of_every_thread_counts(tmp_path):
    proc = recorded(tmp_path)
    for thread, waited in ((1, 40), (2, 2)):
        folder = tmp_path / "self" / "task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(f"1000 {waited} 3\n")
    (tmp_path / "self" / "task" / "3").mkdir()  # it is about to end
    assert thread_wait_ns(1, proc) == 40
    assert thread_wait_ns(3, proc) is None
    assert read_account(proc).wait_ns == 42


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_faults_and_switches_of_this_process_are_counted():
    before = read_account()
    filled = bytearray(64 << 20)  # new pages, each a fault
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait()  # this process sleeps meanwhile, of its own will
    told = before.until(read_account())
    assert told["minor_faults"] > 100
    assert told["voluntary_switches"] >= 1
    assert told["cpu_s"] > 0
    assert len(filled) == 64 << 20


def test_a_trial_tells_all_of_it(workshop, bench):
    told = workshop.run(bench.good_job()).facts["accounting"]
    assert set(told) == {
        "wall_s",
        "cpu_s",
        "runqueue_wait_s",
        "voluntary_switches",
        "involuntary_switches",
        "minor_faults",
        "major_faults",
        "foreign_cpu_s",
        "steal_s",
        "pressure_s",
        "swapped_in_pages",
    }
    assert 0 < told["cpu_s"] <= told["wall_s"] * (os.cpu_count() or 1)
