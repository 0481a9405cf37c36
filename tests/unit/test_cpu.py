"""Default threads on machines that are not here: trees of /sys and /proc as Linux lays them out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from edgecsp.system import cpu
from support.repository import REPO

CPUS = "sys/devices/system/cpu"
GROUPS = "sys/fs/cgroup"


def tree(root: Path, files: Dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def siblings(*groups: str, name: str = "core_cpus_list") -> Dict[str, str]:
    """Each group of logical CPUs, "0,4" or "0-1", is one core."""
    said = {}
    for group in groups:
        first, _, last = group.partition("-")
        for one in range(int(first), int(last) + 1) if last else map(int, group.split(",")):
            said[f"{CPUS}/cpu{one}/topology/{name}"] = group
    return said


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_two_threads_of_a_core_count_once(name: str, tmp_path: Path) -> None:
    root = tree(tmp_path, siblings("0,4", "1,5", "2,6", "3,7", name=name))
    assert cpu.threads(root, range(8)) == 4
    assert cpu.threads(root, [0, 4]) == 1, "taskset on both threads of one core"
    assert cpu.threads(root, [0, 1, 2, 3]) == 4, "taskset on one thread of each"
    assert cpu.threads(root, [5, 6, 7]) == 3


def test_a_hybrid_cpu_has_cores_of_two_threads_and_of_one(tmp_path: Path) -> None:
    assert cpu.threads(tree(tmp_path, siblings("0-1", "2-3", "4", "5", "6", "7")), range(8)) == 6


def test_without_a_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert cpu.threads(tmp_path, range(4)) == 4
    assert cpu.threads(tmp_path, []) == 1


@pytest.mark.parametrize(
    ("quota", "share", "threads"),
    [
        ("150000 100000", 1.5, 1),
        ("max 100000", None, 4),
        ("50000 100000", 0.5, 1),
        ("200000 100000", 2.0, 2),
        ("900000 100000", 9.0, 4),
        ("", None, 4),
        ("nonsense", None, 4),
    ],
)
def test_quota_of_a_container(quota: str, share: object, threads: int, tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/", f"{GROUPS}/cpu.max": quota})
    assert cpu.quota(root) == share
    assert cpu.threads(root, range(4)) == threads


def test_the_tightest_group_above_holds(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/system.slice/box.service",
        f"{GROUPS}/system.slice/cpu.max": "250000 100000",
        f"{GROUPS}/system.slice/box.service/cpu.max": "300000 100000",
    }
    assert cpu.quota(tree(tmp_path, files)) == 2.5


@pytest.mark.parametrize("folder", ["docker/1234", ""])
def test_quota_of_version_1(folder: str, tmp_path: Path) -> None:
    """A container sees the host's path in /proc and its own group at the top of the mount, or the path as it is."""
    files = {"proc/self/cgroup": "12:memory:/docker/1234\n4:cpu,cpuacct:/docker/1234\n3:cpuset:/\n1:name=systemd:/"}
    for name, number in (("quota", 150000), ("period", 100000)):
        files[str(Path(GROUPS, "cpu,cpuacct", folder, f"cpu.cfs_{name}_us"))] = str(number)
    files[f"{GROUPS}/cpuset/cpu.cfs_quota_us"] = files[f"{GROUPS}/cpuset/cpu.cfs_period_us"] = "1"
    root = tree(tmp_path, files)
    assert cpu.quota(root) == 1.5
    tree(root, {str(Path(GROUPS, "cpu,cpuacct", folder, "cpu.cfs_quota_us")): "-1"})
    assert cpu.quota(root) is None


def test_affinity_counts() -> None:
    if not shutil.which("taskset"):
        pytest.skip("taskset is not installed (Debian: util-linux)")
    one = min(os.sched_getaffinity(0))
    code = "from edgecsp.system import cpu; print(len(cpu.affinity()), cpu.threads())"
    command = ["taskset", "-c", str(one), sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO).stdout.split() == ["1", "1"]


def test_what_it_can_do(tmp_path: Path) -> None:
    x86 = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16"
    tree(tmp_path, {"proc/cpuinfo": x86})
    assert cpu.isa(tmp_path) == ("AVX2", "AVX-512", "AVX-512 VNNI", "AVX-512 BF16")
    assert cpu.name(tmp_path) == "Some CPU @ 2 GHz"
    arm = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp\nCPU part\t: 0xd42"
    tree(tmp_path, {"proc/cpuinfo": arm, "proc/device-tree/model": "NVIDIA Jetson TX2 Developer Kit\0"})
    assert cpu.isa(tmp_path) == ("NEON", "NEON fp16", "NEON dot product")
    assert cpu.name(tmp_path) == "NVIDIA Jetson TX2 Developer Kit"
    assert cpu.isa(tmp_path / "nowhere") == () and cpu.name(tmp_path / "nowhere")


def test_this_machine() -> None:
    said = dict(cpu.describe())
    assert 1 <= said["threads"] <= said["cores"] <= said["allowed"] <= said["logical"]
