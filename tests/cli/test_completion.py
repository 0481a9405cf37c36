"""Completion in bash, zsh and fish: what edgecsp answers to a shell, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, List

import pytest

from edgecsp import zoo
from edgecsp.backends import registry
from edgecsp.zoo.store import index
from support.repository import child_environment

CODE = """
from dataclasses import replace
from edgecsp import zoo
MODELS = [replace(zoo.get("yolov3-tiny"), name="toy-tiny", weights=None)]
"""
POINTS = "[edgecsp.models]\ntoy = edgecsp_toy:MODELS\n[edgecsp.engines]\ntoyengine = edgecsp_toy:Session\n"
ASK = """
import sys
from edgecsp.cli import main
try:
    main()
finally:
    print([name for name in ("rich", "numpy", "onnx", "cv2") if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECSP_HOME", str(tmp_path / "edgecsp"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(shell: str, line: str, *words: str, **variables: str) -> Any:
    """Run edgecsp as the script of a shell does; `line` ends where the cursor is."""
    typed = line.split(" ")
    env: Dict[str, str] = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(typed) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    command = [sys.executable, *(words or ("-m", "edgecsp"))]
    env = child_environment(Path.cwd(), _EDGECSP_COMPLETE=f"complete_{shell}", **env, **variables)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done


def completed(line: str) -> List[str]:
    done = ask("bash", line)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_subcommands_and_options(folder: Path) -> None:
    assert completed("edgecsp tu") == ["tune"]
    assert completed("edgecsp models ") == ["list", "recommend", "show", "pull", "rm", "import"]
    assert completed("edgecsp tune l") == ["list"]
    assert completed("edgecsp tune list --js") == ["--json"]
    assert completed("edgecsp batch su") == ["summary"] and completed("edgecsp up ch") == ["check"]
    assert {"--conf", "--device"} <= set(completed("edgecsp run x --"))
    assert completed("edgecsp --install") == ["--install-completion"]


def test_a_path_is_left_to_the_shell(folder: Path) -> None:
    (folder / "summer").mkdir()
    for line in ("edgecsp batch ", "edgecsp batch su", "edgecsp up ", "edgecsp run ", "edgecsp val codes --data x"):
        assert completed(line) == []


def test_models_by_name_and_by_file(folder: Path) -> None:
    (folder / "yolo-mine.onnx").write_bytes(b"")
    assert completed("edgecsp run x --model yolov3-tiny") == ["yolov3-tiny", "yolov3-tiny-prn"]
    assert completed("edgecsp val yolo-m") == ["yolo-mine.onnx"]
    assert completed("edgecsp val yolo-fastest-1.0") == ["yolo-fastest-1.0-xl"]
    assert completed("edgecsp models show ") == list(zoo.names())
    assert completed("edgecsp bench ") == [*zoo.names(), "yolo-mine.onnx", "compare"]
    assert "compare" not in completed("edgecsp bench codes ")
    assert completed("edgecsp models rm ") == []
    record = {**dict.fromkeys([each.name for each in fields(index.Record)], ""), "name": "yolov4"}
    index.write(index.record_path("yolov4"), record)
    index.path("yolov4").write_bytes(b"")
    assert completed("edgecsp models rm ") == ["yolov4"]


def test_engines_devices_precisions_and_recipes(folder: Path) -> None:
    assert completed("edgecsp run x -e o") == [name for name in registry.built_in() if name.startswith("o")]
    assert completed("edgecsp bench --engine ort,openv") == ["ort,openvino"]
    assert completed("edgecsp run x -e ort --device ") == ["auto", "cpu", "cuda", "tensorrt"]
    assert completed("edgecsp run x --device cu") == ["cuda"]
    assert completed("edgecsp val codes --precision fp32,i") == ["fp32,int8"]
    assert completed("edgecsp build codes --recipe jetson-") == ["jetson-orin", "jetson-tx2", "jetson-xavier"]


def test_what_other_packages_add(folder: Path) -> None:
    (folder / "edgecsp_toy.py").write_text(CODE)
    (folder / "edgecsp_toy-0.1.dist-info").mkdir()
    (folder / "edgecsp_toy-0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: edgecsp-toy\nVersion: 0.1\n"
    )
    (folder / "edgecsp_toy-0.1.dist-info/entry_points.txt").write_text(POINTS)
    assert completed("edgecsp run x -m toy-") == ["toy-tiny"]
    assert completed("edgecsp run x -e toy") == ["toyengine"]
    assert "auto" in completed("edgecsp run x -e toyengine --device ")  # it has no Session, and that is no matter


def test_zsh_and_fish_get_help_texts(folder: Path) -> None:
    assert '"list":"List the models' in ask("zsh", "edgecsp models ").stdout
    assert '"--threads":' in ask("zsh", "edgecsp run x --thr").stdout
    assert "list\tList the models" in ask("fish", "edgecsp models ").stdout
    assert ask("fish", "edgecsp run x -m yolov4-t").stdout == "yolov4-tiny\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_little_is_imported(folder: Path, shell: str) -> None:
    (folder / "ask.py").write_text(ASK)
    assert ask(shell, "edgecsp models ", "ask.py").stderr == "[]\n"
    assert ask(shell, "edgecsp run x -m yolo", "ask.py").stderr == "['numpy']\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_completes_there(folder: Path, shell: str) -> None:
    """It is sourced by the shell itself, and asks an edgecsp on the path."""
    tool = folder / "bin" / "edgecsp"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgecsp "$@"\n')
    tool.chmod(0o755)
    env = child_environment(PATH=f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    source = {**env, "_EDGECSP_COMPLETE": f"source_{shell}"}
    script = subprocess.run([str(tool)], env=source, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "_EDGECSP_COMPLETE=complete_" + shell in script
    ends = {
        "bash": "COMP_WORDS=(edgecsp tune li); COMP_CWORD=2; _edgecsp_completion edgecsp; echo ${COMPREPLY[*]}",
        "zsh": "",  # its completions need a terminal
        "fish": "complete --do-complete 'edgecsp tune li'",
    }
    program = shutil.which(shell)
    if program is None or not ends[shell]:
        pytest.skip(f"{shell} is not installed, or completes in a terminal only: its script was printed")
    words = [program, "-c", f"{script}\n{ends[shell]}\n"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split()[0] == "list", done.stderr


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/edgecsp.sh"),
        ("zsh", ".zfunc/_edgecsp"),
        ("fish", ".config/fish/completions/edgecsp.fish"),
    ],
)
def test_it_is_installed_for_the_shell_that_runs_it(folder: Path, shell: str, file: str) -> None:
    program = folder / shell  # a shell is known by its process's name
    shutil.copy(str(shutil.which("bash")), str(program))
    line = f"'{sys.executable}' -m edgecsp --install-completion; exit $?"
    words = [str(program), "-c", line]
    done = subprocess.run(words, env=child_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and file in done.stdout, done.stderr
    assert f"complete_{shell}" in (folder / file).read_text()
    shown = subprocess.run(
        [*words[:2], line.replace("--install", "--show")], env=child_environment(), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == (folder / file).read_text().strip()


def test_a_shell_that_is_not_known_is_said(folder: Path) -> None:
    program = folder / "dash"
    shutil.copy(str(shutil.which("bash")), str(program))
    words = [str(program), "-c", f"'{sys.executable}' -m edgecsp --show-completion; exit $?"]
    done = subprocess.run(words, env=child_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (
        done.returncode == 2 and "this shell is dash" in done.stderr and "_EDGECSP_COMPLETE=source_bash" in done.stderr
    )


def test_a_home_that_cannot_be_written_is_an_error_of_output(folder: Path) -> None:
    (folder / ".bash_completions").write_text("a file")
    words = ["bash", "-c", f"'{sys.executable}' -m edgecsp --install-completion; exit $?"]
    done = subprocess.run(words, env=child_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5 and "Traceback" not in done.stderr and "cannot write" in done.stderr
