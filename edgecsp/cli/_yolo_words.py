"""Command lines as users of ultralytics' `yolo` type them are answered with the line to type here.

edgecsp detect predict model=yolov8n.pt source=street.mp4 conf=0.4
-> yolo export model=yolov8n.pt format=onnx
-> edgecsp run street.mp4 --model yolov8n.onnx --conf 0.4
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import UsageError

TASKS = ("detect", "segment", "classify", "pose", "obb")
COMMANDS = {
    "predict": "run", "track": "run", "val": "val", "train": "train", "export": "export", "benchmark": "bench",
}  # fmt: skip
ARGUMENTS = {"run": "source", "val": "model", "train": "model", "export": "model", "bench": "model"}
OPTIONS = {"lr0": "--lr", "cache": "--cache", "project": "--out"}  # others: --KEY, with dashes
UNUSED = ("task", "mode", "save", "verbose", "plots", "exist_ok", "pretrained", "name")  # no words needed here
TRAINED = "yolov4-tiny"  # what stands for a network that only ultralytics has
_WORD = re.compile(r"([a-z_]+\d?)=(.*)", re.DOTALL)
_KEYS = ("model", "source", "data", "imgsz", "conf", "epochs", "task", "mode", "device", "batch", "format")


def refuse(words: Sequence[str], commands: Mapping[str, Any]) -> None:
    """Raise `UsageError` with the line to type, where a command line is spelled for `yolo`."""
    pairs = _find_pairs(words)
    first = words[0] if words else ""
    if first in commands or first in pairs.values():
        is_foreign = any(key in pairs for key in _KEYS)
    else:
        is_foreign = first in (*TASKS, *COMMANDS) or any(f"{key}={value}" == first for key, value in pairs.items())
    if not is_foreign:
        return
    plain = [word for word in words if word.partition("=")[0] not in pairs]
    while plain and (plain[0] in TASKS or plain[0] in COMMANDS or plain[0] in commands):
        mode = plain.pop(0)
        if mode not in TASKS:
            pairs["mode"] = mode
    mode = pairs.get("mode", "predict")
    command = COMMANDS.get(mode, mode if mode in commands else "run")
    raise UsageError(_describe(command, mode, pairs, plain, commands[command]))


def _find_pairs(words: Sequence[str]) -> Dict[str, str]:
    """The words KEY=VALUE that are no files and no values of an option."""
    pairs = {}
    before = ""
    for word in words[: words.index("--")] if "--" in words else words:
        match = _WORD.fullmatch(word)
        if match and not before.startswith("-") and not os.path.exists(word):
            pairs[match[1]] = match[2]
        before = word
    return pairs


def _describe(command: str, mode: str, pairs: Dict[str, str], plain: List[str], declared: Any) -> str:
    """Write the lines to type, and what has no counterpart here."""
    lines, notes = [], []
    model = pairs.get("model", "")
    if command == "train" and model.endswith((".pt", ".yaml", ".yml")):
        notes.append(f"{model} is a network that only ultralytics has; edgecsp trains those of: edgecsp models list")
        pairs["model"] = TRAINED
    elif model.endswith(".pt"):
        lines.append(f"yolo export model={shlex.quote(model)} format=onnx")
        pairs["model"] = f"{model[:-3]}.onnx"
    arguments = [pairs.pop(ARGUMENTS[command])] if ARGUMENTS[command] in pairs else []
    if not arguments and not [word for word in plain if not word.startswith("-")]:
        arguments = [ARGUMENTS[command].upper()]
    options, unknown = _translate(pairs, declared)
    lines.append(" ".join(["edgecsp", command, *map(shlex.quote, [*arguments, *plain, *options])]))
    if mode == "track":
        notes.append("edgecsp finds boxes in each frame and does not track them")
    if unknown:
        notes.append(f"without a counterpart here: {', '.join(unknown)}")
    return "\n  ".join(["that is how ultralytics' yolo is typed; type:", *lines, *(f"({note})" for note in notes)])


def _translate(pairs: Mapping[str, str], declared: Any) -> Tuple[List[str], List[str]]:
    """The options of a command that KEY=VALUE words mean, and the words that mean none."""
    flags = {flag: param for param in declared.params for flag in getattr(param, "opts", ())}
    options: List[str] = []
    unknown: List[str] = []
    for key, value in pairs.items():
        flag = OPTIONS.get(key, f"--{key.replace('_', '-')}")
        if key in UNUSED:
            continue
        if key == "half" and "--precision" in flags:
            options += ["--precision", "fp16"] * (value.lower() == "true")
        elif flag not in flags:
            unknown.append(f"{key}={value}")
        elif getattr(flags[flag], "is_flag", False):
            options += [flag] * (value.lower() == "true")
        else:
            options += [flag, _value(key, value, declared.name)]
    return options, unknown


def _value(key: str, value: str, command: Optional[str]) -> str:
    """A value as it is written here: no brackets, HEIGHTxWIDTH, the device of a GPU's number."""
    value = re.sub(r"[\[\]() ]", "", value)
    if key == "imgsz":
        return value.replace(",", "x")
    if key == "device" and value.isdigit() and command != "train":
        return "cuda"
    return value
