"""Match a file with the families; if several fit, an error names the options that decide."""

from __future__ import annotations

from typing import Any, FrozenSet, List, NamedTuple, Optional

from ...errors import BadModel
from ...graph.labels import COCO
from . import layout
from .families import KINDS, HeadGuess, Kind, OutputLayout


class Match(NamedTuple):
    """A family and the heads that the file would have."""

    kind: str
    guess: HeadGuess

    @property
    def classes(self) -> Optional[int]:
        """The number of classes that this match gives, None if unknown."""
        return self.guess.heads[0].classes if self.guess.heads else None


def choose(
    filename: str, proto: Any, output_layout: OutputLayout, kind: Optional[str], operators: FrozenSet[str]
) -> Match:
    """Choose the one family that fits; `kind` is the user's or the metadata's. Raises `BadModel`."""
    listed = ", ".join(str(output) for output in output_layout.outputs[:6])
    matches = _matches(proto, output_layout, kind, operators)
    if not matches:
        known = "Known: " + "; ".join(family.about for family in KINDS.values())
        known = known if kind is None else f"--kind {kind} is {KINDS[kind].about}"
        raise BadModel(
            f"{filename} is not a supported export ({listed} of a {output_layout.hw[1]}x{output_layout.hw[0]} image). "
            f"{known}"
        )
    fitting = [
        m for m in matches if m.classes is None or output_layout.classes is None or m.classes == output_layout.classes
    ]
    if not fitting:
        would = ", ".join(f"{match.classes} ({match.kind})" for match in matches)
        raise BadModel(
            f"{filename}: {listed} would be of {would} classes, and {output_layout.classes} are named; "
            "say which with --names FILE or --classes N"
        )
    match = _resolve(filename, listed, fitting, prefer_coco=output_layout.classes is None)
    if match.guess.needs:
        raise BadModel(
            f"{filename} looks like {match.kind} ({listed}); type: edgecsp import {filename} {match.guess.needs}"
        )
    if match.kind == "yolov8" and match.classes == 52 and output_layout.classes is None and kind is None:
        raise BadModel(
            f"{filename}: {listed} is what a YOLOv8 pose model gives (1 class, 17 keypoints), which edgecsp does not "
            f"run; if it is a detector of 52 classes: edgecsp import {filename} --kind yolov8 --classes 52"
        )
    if "NonMaxSuppression" in operators and match.kind != "yolov10":
        raise BadModel(f"{filename} contains NMS (NonMaxSuppression); export it without NMS (nms=False)")
    return match


def _matches(proto: Any, output_layout: OutputLayout, kind: Optional[str], operators: FrozenSet[str]) -> List[Match]:
    if kind is not None:  # who says it need not be second-guessed by operators
        return [Match(kind, guess) for guess in KINDS[kind].find(output_layout)]
    return [
        Match(name, guess)
        for name, family in KINDS.items()
        if not family.explicit_only
        for guess in family.find(output_layout)
        if _fits(proto, family, guess, operators)
    ]


def _fits(proto: Any, family: Kind, guess: HeadGuess, operators: FrozenSet[str]) -> bool:
    """Whether the graph's operators are consistent with a guess."""
    if family.exp is not None and family.exp != ("Exp" in operators):
        return False
    if family.raw is None or not guess.heads:
        return True
    computed = layout.has_arithmetic(proto, guess.heads[0].name)
    return computed is None or computed != family.raw


def _resolve(filename: str, listed: str, fitting: List[Match], *, prefer_coco: bool) -> Match:
    coco = [match for match in fitting if match.classes == len(COCO)]
    if prefer_coco and len(coco) == 1:
        fitting = coco
    if len(fitting) == 1:
        return fitting[0]
    each = ", or ".join(match.kind + (f" of {match.classes} classes" if match.classes else "") for match in fitting)
    kinds = sorted({match.kind for match in fitting})
    flag = f"--kind {'|'.join(kinds)}" if len(kinds) > 1 else "--classes N or --names FILE"
    raise BadModel(f"{filename}: {listed} may be {each}. Say which: edgecsp import {filename} {flag}")
