"""Match a file with the families; if several fit, an error names the options that decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence

from ...errors import BadModel
from ...graph.anchors import SETS
from . import layout
from .families import KINDS
from .kinds import HeadGuess, Kind, OutputLayout

_POSE_FIELDS = 56  # of a YOLOv8 pose model of one class: box, score and 17 keypoints of x, y and visibility


class Match(NamedTuple):
    """A family and the heads that the file would have, with the `flags` that say so."""

    kind: str
    guess: HeadGuess
    flags: str = ""

    @property
    def classes(self) -> Optional[int]:
        """The number of classes that this match gives, None if unknown."""
        return self.guess.heads[0].classes if self.guess.heads else None

    def __str__(self) -> str:
        classes = f" of {self.classes} classes" if self.classes else ""
        return self.kind + classes + (f" with {self.flags}" if self.flags else "")


class Tie(BadModel):
    """Several readings fit, `matches`; `problem` says so, `advice` what to type."""

    def __init__(self, problem: str, advice: str, matches: Sequence[Match]) -> None:
        self.problem, self.advice, self.matches = problem, advice, tuple(matches)
        super().__init__(f"{problem}. {advice}")


def choose(filename: str, proto: Any, output_layout: OutputLayout, kind: Optional[str]) -> Match:
    """Choose the one family that fits; `kind` is the user's or the metadata's. Raises `Tie`, `BadModel`."""
    listed = ", ".join(str(output) for output in output_layout.outputs[:6])
    matches = _matches(proto, output_layout, kind)
    if not matches:
        known = "Known: " + "; ".join(family.about.split(": ")[0] for family in KINDS.values())
        known = known if kind is None else f"--kind {kind} is {KINDS[kind].about}"
        raise BadModel(
            f"{filename} is not a supported export ({listed} of a {output_layout.hw[1]}x{output_layout.hw[0]} image). "
            f"{known}",
            docs="model-not-recognised",
        )
    fitting = [
        m for m in matches if m.classes is None or output_layout.classes is None or m.classes == output_layout.classes
    ]
    if not fitting:
        would = ", ".join(f"{match.classes} ({match.kind})" for match in matches)
        raise BadModel(
            f"{filename}: {listed} would be of {would} classes, and {output_layout.classes} are named; "
            "say which with --names FILE or --num-classes N"
        )
    match = _resolve(filename, listed, fitting, prefer_known=output_layout.classes is None)
    if match.guess.needs:
        problem, advice = (
            f"{filename} looks like {match.kind} ({listed})",
            f"edgecsp import {filename} {match.guess.needs}",
        )
        published = () if output_layout.anchors else tuple(_with_published_anchors(match.kind, output_layout))
        raise Tie(problem, f"Type: {advice}", published)
    if match.kind == "yolov8" and match.classes == _POSE_FIELDS - 4 and output_layout.classes is None and kind is None:
        raise BadModel(
            f"{filename}: {listed} is what a YOLOv8 pose model gives (1 class, 17 keypoints), which edgecsp does not "
            f"run; for its boxes: edgecsp import {filename} --boxes-only; if it is a detector of 52 classes: "
            f"edgecsp import {filename} --kind yolov8 --num-classes 52"
        )
    is_end_to_end = match.guess.heads[0].nms_free
    if "NonMaxSuppression" in output_layout.operators and not is_end_to_end:
        raise BadModel(f"{filename} contains NMS (NonMaxSuppression); export it without NMS (nms=False)")
    return match


def _with_published_anchors(kind: str, output_layout: OutputLayout) -> Iterator[Match]:
    """Yield what a kind that needs anchors would be with each published list, equal ones once."""
    heads = []
    for name, anchors in SETS.items():
        for guess in KINDS[kind].find(replace(output_layout, anchors=anchors)):
            if guess.heads and guess.heads not in heads:
                heads.append(guess.heads)
                yield Match(kind, guess, f"--anchors {name}")


def _matches(proto: Any, output_layout: OutputLayout, kind: Optional[str]) -> List[Match]:
    if kind is not None:  # who says it need not be second-guessed by operators
        return [Match(kind, guess) for guess in KINDS[kind].find(output_layout)]
    names = {output.name for output in output_layout.outputs}
    matches = [
        Match(name, guess)
        for name, family in KINDS.items()
        if not family.explicit_only and family.names <= names
        for guess in family.find(output_layout)
        if _fits(proto, family, guess, output_layout)
    ]
    named = [match for match in matches if KINDS[match.kind].names]
    return named or matches


def _fits(proto: Any, family: Kind, guess: HeadGuess, output_layout: OutputLayout) -> bool:
    """Whether the graph's operators are consistent with a guess."""
    if any((name in output_layout.operators) != has for name, has in family.holds.items()):
        return False
    if family.patches is not None and family.patches != output_layout.has_patches:
        return False
    names = [*(output.name for output in guess.reads), *(head.name for head in guess.heads)]
    if not names:
        return True
    first = names[0]
    if family.scores_first is not None and family.scores_first != (output_layout.last_operator(first) == "Sigmoid"):
        return False
    computed = None if family.raw is None else layout.has_arithmetic(proto, first)
    return computed is None or computed != family.raw


def _resolve(filename: str, listed: str, fitting: List[Match], *, prefer_known: bool) -> Match:
    known = [match for match in fitting if match.classes in [len(labels) for labels in KINDS[match.kind].labels]]
    if prefer_known and len(known) == 1:
        fitting = known
    if len(fitting) == 1:
        return fitting[0]
    kinds = sorted({match.kind for match in fitting})
    flag = f"--kind {'|'.join(kinds)}" if len(kinds) > 1 else "--num-classes N or --names FILE"
    problem = f"{filename}: {listed} may be {', or '.join(map(str, fitting))}"
    raise Tie(problem, f"Say which: edgecsp import {filename} {flag}", fitting)
