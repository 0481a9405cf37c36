"""What is free, read from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from edgecsp.system import memory
from edgecsp.system.memory import Memory

MEMINFO = """\
MemTotal:        8036124 kB
MemFree:          123456 kB
MemAvailable:    2097152 kB
SwapTotal:       4018060 kB
SwapFree:        1048576 kB
HugePages_Total:       0
"""


def tree(root: Path, **said: str) -> Path:
    for name, text in said.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_board(tmp_path: Path) -> None:
    free = memory.free(tree(tmp_path, proc__meminfo=MEMINFO))
    assert free == Memory(2 << 30, 1 << 30)
    assert str(free) == "2048 MB of memory and 1024 MB of swap are free"


def test_a_container_with_a_limit(tmp_path: Path) -> None:
    tree(tmp_path, proc__meminfo=MEMINFO)
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(f"{1 << 30}\n")
    (group / "memory.current").write_text(f"{700 << 20}\n")
    assert memory.free(tmp_path) == Memory(324 << 20, 1 << 30)
    (group / "memory.max").write_text("max\n")
    assert memory.free(tmp_path) == Memory(2 << 30, 1 << 30)


def test_no_swap_and_old_kernels(tmp_path: Path) -> None:
    assert memory.free(tree(tmp_path, proc__meminfo="MemAvailable: 1024 kB\n")) == Memory(1 << 20, 0)
    assert memory.free(tree(tmp_path, proc__meminfo="MemFree: 1024 kB\n")) is None
    assert memory.free(tmp_path / "nowhere") is None
    assert memory.kernel_kills(tree(tmp_path, proc__vmstat="pgfault 7\noom_kill 3\n")) == 3
    assert memory.kernel_kills(tree(tmp_path, proc__vmstat="pgfault 7\n")) is None


def test_here() -> None:
    free = memory.free()
    assert free is None or free.available > 1 << 20
