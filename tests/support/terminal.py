"""A command in a pseudo terminal of a given width, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import List, Tuple

from support.repository import child_environment

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def record(*words: object, cwd: Path, columns: int = 80, code: int = 0, **variables: str) -> Tuple[str, List[str]]:
    """Run `edgecsp WORDS` in a terminal: what it wrote, and the lines that stay on the screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = child_environment(TERM="xterm", PYTHONIOENCODING="utf-8")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        env.pop(name, None)
    env.update(variables)
    command = [sys.executable, "-m", "edgecsp", *map(str, words)]
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                part = b""
            if not part:
                break
            written += part
        assert process.wait(timeout=120) == code, written.decode()
    os.close(ours)
    text = written.decode().replace("\r\n", "\n")
    return text, _draw(text)


def _draw(text: str) -> List[str]:
    """What stays of the lines: bars move the cursor up and erase."""
    lines, at = [""], 0
    for token in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\n|\r)", text):
        if token == "\n":
            at += 1
            if at == len(lines):
                lines.append("")
        elif token.endswith("A") and ANSI.fullmatch(token):
            at = max(0, at - int(token[2:-1] or 1))
        elif token.endswith("K") and ANSI.fullmatch(token):
            lines[at] = ""
        elif token != "\r" and not ANSI.fullmatch(token):
            lines[at] += token
    return [line.rstrip() for line in lines]
