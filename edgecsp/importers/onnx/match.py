"""Which kind a file is: every kind is asked, and the one that is left is it; else the error says what decides."""

from __future__ import annotations

from typing import Any, FrozenSet, List, NamedTuple, Optional

from ...errors import BadModel
from ...graph.labels import COCO
from . import layout
from .families import KINDS, HeadGuess, Kind, OutputLayout


class Match(NamedTuple):
    """A kind and the heads it would have."""

    kind: str
    guess: HeadGuess

    @property
    def classes(self) -> Optional[int]:
        """How many classes that would be, None where it cannot tell."""
        return self.guess.heads[0].classes if self.guess.heads else None


def choose(shown: str, proto: Any, seen: OutputLayout, kind: Optional[str], operators: FrozenSet[str]) -> Match:
    """The one kind that fits; `kind` when the user or the metadata says it. Raises `BadModel`."""
    listed = ", ".join(str(output) for output in seen.outputs[:6])
    found = _matches(proto, seen, kind, operators)
    if not found:
        known = "Known: " + "; ".join(family.about for family in KINDS.values())
        known = known if kind is None else f"--kind {kind} is {KINDS[kind].about}"
        raise BadModel(f"{shown} is no export we know ({listed} of a {seen.hw[1]}x{seen.hw[0]} picture). {known}")
    fitting = [m for m in found if m.classes is None or seen.classes is None or m.classes == seen.classes]
    if not fitting:
        would = ", ".join(f"{match.classes} ({match.kind})" for match in found)
        raise BadModel(
            f"{shown}: {listed} would be of {would} classes, and {seen.classes} are named; "
            "say which with --names FILE or --classes N"
        )
    match = _only(shown, listed, fitting, prefer_coco=seen.classes is None)
    if match.guess.needs:
        raise BadModel(f"{shown} looks like {match.kind} ({listed}); type: edgecsp import {shown} {match.guess.needs}")
    if match.kind == "yolov8" and match.classes == 52 and seen.classes is None and kind is None:
        raise BadModel(
            f"{shown}: {listed} is what a YOLOv8 pose model gives (1 class, 17 keypoints), which edgecsp does not run; "
            f"if it is a detector of 52 classes: edgecsp import {shown} --kind yolov8 --classes 52"
        )
    if "NonMaxSuppression" in operators and match.kind != "yolov10":
        raise BadModel(f"{shown} suppresses boxes inside (NonMaxSuppression); export it without NMS (nms=False)")
    return match


def _matches(proto: Any, seen: OutputLayout, kind: Optional[str], operators: FrozenSet[str]) -> List[Match]:
    if kind is not None:  # who says it need not be second-guessed by operators
        return [Match(kind, guess) for guess in KINDS[kind].find(seen)]
    return [
        Match(name, guess)
        for name, family in KINDS.items()
        if not family.asked
        for guess in family.find(seen)
        if _fits(proto, family, guess, operators)
    ]


def _fits(proto: Any, family: Kind, guess: HeadGuess, operators: FrozenSet[str]) -> bool:
    """Whether nothing among the graph's operators speaks against a guess."""
    if family.exp is not None and family.exp != ("Exp" in operators):
        return False
    if family.raw is None or not guess.heads:
        return True
    computed = layout.computed(proto, guess.heads[0].name)
    return computed is None or computed != family.raw


def _only(shown: str, listed: str, fitting: List[Match], *, prefer_coco: bool) -> Match:
    coco = [match for match in fitting if match.classes == len(COCO)]
    if prefer_coco and len(coco) == 1:
        fitting = coco
    if len(fitting) == 1:
        return fitting[0]
    each = ", or ".join(match.kind + (f" of {match.classes} classes" if match.classes else "") for match in fitting)
    kinds = sorted({match.kind for match in fitting})
    flag = f"--kind {'|'.join(kinds)}" if len(kinds) > 1 else "--classes N or --names FILE"
    raise BadModel(f"{shown}: {listed} may be {each}. Say which: edgecsp import {shown} {flag}")
