"""Clusters of equal cores on trees that imitate boards. The trees are fakes, written from the kernel's documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep_agent.cpu_clusters import CpuChoice, choose_cpus, find_clusters, parse_cpu_list
from edgesweep_proto.device import CpuCluster

CPUS = "sys/devices/system/cpu"


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def fake_pi(folder: Path) -> Path:
    """Four equal cores behind one frequency policy, as a Raspberry Pi 4 has them; no capacities."""
    files = {
        f"{CPUS}/cpufreq/policy0/related_cpus": "0 1 2 3\n",
        f"{CPUS}/cpufreq/policy0/cpuinfo_max_freq": "1800000\n",
    }
    for cpu in range(4):
        files |= {
            f"{CPUS}/cpu{cpu}/topology/physical_package_id": "0\n",
            f"{CPUS}/cpu{cpu}/topology/core_cpus_list": f"{cpu}\n",
        }
    return tree(folder, files)


def fake_big_little(folder: Path) -> Path:
    """Six small cores and two big ones, as a Qualcomm or Rockchip board has them."""
    files = {}
    for cpu in range(8):
        files |= {
            f"{CPUS}/cpu{cpu}/cpu_capacity": "1024\n" if cpu >= 6 else "381\n",
            f"{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq": "2400000\n" if cpu >= 6 else "1800000\n",
            f"{CPUS}/cpu{cpu}/topology/physical_package_id": "0\n",
        }
    return tree(folder, files)


def fake_pc(folder: Path) -> Path:
    """Four cores of two hardware threads each; two of them are let go a little faster."""
    files = {}
    for cpu in range(8):
        files |= {
            f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}\n",
            f"{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq": "5100000\n" if cpu % 4 < 2 else "4900000\n",
            f"{CPUS}/cpu{cpu}/topology/physical_package_id": "0\n",
        }
    return tree(folder, files)


def test_equal_cores_are_one_cluster(tmp_path: Path) -> None:
    assert find_clusters(fake_pi(tmp_path), range(4)) == (CpuCluster((0, 1, 2, 3), 1.8e9),)


def test_big_and_small_cores_are_two_clusters_the_fastest_first(tmp_path: Path) -> None:
    assert find_clusters(fake_big_little(tmp_path), range(8)) == (
        CpuCluster((6, 7), 2.4e9, 1024),
        CpuCluster((0, 1, 2, 3, 4, 5), 1.8e9, 381),
    )


def test_only_cpus_that_the_agent_may_use_count(tmp_path: Path) -> None:
    assert [cluster.cpus for cluster in find_clusters(fake_big_little(tmp_path), [1, 2, 7])] == [(7,), (1, 2)]


def test_two_hardware_threads_of_a_core_are_one_core(tmp_path: Path) -> None:
    assert find_clusters(fake_pc(tmp_path), range(8)) == (CpuCluster((0, 1, 2, 3), 5.1e9),)
    assert find_clusters(fake_pc(tmp_path), [4, 5, 1]) == (CpuCluster((1, 4), 5.1e9),)


def test_cores_of_two_packages_are_not_equal(tmp_path: Path) -> None:
    root = fake_pi(tmp_path)
    tree(root, {f"{CPUS}/cpu3/topology/physical_package_id": "1\n"})
    assert [cluster.cpus for cluster in find_clusters(root, range(4))] == [(0, 1, 2), (3,)]


def test_a_board_that_tells_nothing_has_one_cluster(tmp_path: Path) -> None:
    assert find_clusters(tmp_path, [0, 2]) == (CpuCluster((0, 2)),)


@pytest.mark.parametrize(
    ("clusters", "threads", "choice"),
    [
        # A core stays for the sampler where the threads leave one.
        ([(0, 1, 2, 3)], 1, CpuChoice((1, 2, 3), 0, alone=False)),
        ([(0, 1, 2, 3)], 3, CpuChoice((1, 2, 3), 0, alone=False)),
        ([(0, 1, 2, 3)], 4, CpuChoice((0, 1, 2, 3), None, alone=False)),
        # The sampler goes to the slowest cores.
        ([(6, 7), (0, 1, 2)], 2, CpuChoice((6, 7), 0, alone=False)),
        # The fastest cluster that holds them, not the fastest.
        ([(6, 7), (0, 1, 2)], 3, CpuChoice((0, 1, 2), 6, alone=False)),
        ([(6, 7), (0, 1, 2)], 4, CpuChoice((), None, alone=False)),
        ([(0,)], 1, CpuChoice((0,), None, alone=True)),
    ],
)
def test_a_trial_gets_the_fastest_cluster_that_holds_its_threads(
    clusters: list[tuple[int, ...]], threads: int, choice: CpuChoice
) -> None:
    assert choose_cpus([CpuCluster(cpus) for cpus in clusters], threads) == choice


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3", (0, 1, 2, 3)), ("5", (5,)), ("0,2-3", (0, 2, 3)), ("", ()), ("all", ())]
)
def test_a_kernels_list_of_cpus_is_read(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus
