"""`edgecsp train toy ...` in a process of its own, with something that goes wrong: toy_run.py CODE -- WORDS.

CODE runs first; `at(step, do)` in it has `do` called after that step.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Callable, List

from support.repository import TESTS, child_environment

QUICK = ("--epochs", "2", "--batch", "4", "--imgsz", "64", "--workers", "0", "--weights", "none")
SAVE_ALWAYS = "from edgecsp.train import loop\nloop.SAVE_EVERY_S = 0\n"


def command(code: str, *words: object) -> List[str]:
    """The command to start."""
    return [sys.executable, __file__, code, "--", "train", "toy", *map(str, words)]


def run(code: str, *words: object) -> Any:
    """The ended process."""
    return subprocess.run(
        command(code, *words), capture_output=True, text=True, env=child_environment(TESTS), timeout=300
    )


def at(step: int, do: Callable[[], object]) -> None:
    """Have something happen right after a step."""
    from edgecsp.train.trainer import Trainer

    learn = Trainer.learn

    def then(self: Trainer, *batch: Any) -> Any:
        terms = learn(self, *batch)
        if self.step == step:
            do()
        return terms

    Trainer.learn = then  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    from edgecsp import cli, zoo
    from support import toy_zoo

    zoo._entries = lambda: toy_zoo.entries(None)  # type: ignore[assignment]
    split = sys.argv.index("--")
    exec(sys.argv[1], {"at": at, "os": os})
    sys.argv = ["edgecsp", *sys.argv[split + 1 :]]
    cli.main()
