"""CPU time of processes that nobody waits for: Ray's workers, found by a mark in their environment."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Dict, Tuple

from . import proc

MARK = "EDGECSP_BENCHMARK"
LOOK_S = 0.2


class Effort(threading.Thread):
    """CPU seconds of every process whose environment has a mark, by process; `with` it, then `by_process`.

    Ray's workers are nobody's children when their raylet is gone, so the kernel's own sum does not have them.
    """

    def __init__(self, mark: str, every_s: float = LOOK_S) -> None:
        super().__init__(daemon=True)
        self._every_s = every_s
        self._mark, self._over = f"{MARK}={mark}".encode(), threading.Event()
        self._known: Dict[str, bool] = {}  # a process and its begin -> whether it is ours
        self.by_process: Dict[str, Tuple[str, float]] = {}

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all."""
        return sum(seconds for _, seconds in self.by_process.values())

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Read what each has taken until now."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                self._read(folder)

    def _read(self, folder: Path) -> None:
        try:
            spent = proc.stat(folder)
            key = f"{folder.name} {spent.begun}"
            if key not in self._known:
                self._known[key] = self._mark in (folder / "environ").read_bytes().split(b"\0")
            if not self._known[key]:
                return
            command = (folder / "cmdline").read_text("utf-8", "replace")  # each time: Ray's processes change theirs
        except OSError:  # it has ended, or is not ours to read
            return
        self.by_process[key] = (command or self.by_process.get(key, ("", 0))[0], spent.cpu_s)

    def __enter__(self) -> Effort:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
