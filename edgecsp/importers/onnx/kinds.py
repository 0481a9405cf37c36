"""Vocabulary of the families: the outputs of a file, a candidate for its heads, and the row that describes a family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, FrozenSet, Iterator, Mapping, Optional, Sequence, Tuple, Type

from ...graph.anchors import AnchorSet
from ...graph.labels import COCO
from ...types import Detections, Head, Result
from .graph import GraphOutput
from .tail import GraphTail

STRIDES = ((8, 16, 32), (16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
MOST_ROWS = 1000  # an end-to-end head keeps 300; more rows than this are a grid


@dataclass(frozen=True)
class OutputLayout:
    """The facts to match: the outputs, the input's size, and the user's classes and anchors.

    `last_operator` gives the operator that computes an output, `operators` all of the graph. `extra_inputs` are the
    inputs beside the image, `has_bytes` says that the image is uint8, `has_patches` that a vision
    transformer cuts it up. `plugin` is the box layout, the confidence and
    the IoU threshold of an NMS plugin that was cut off.
    """

    outputs: Tuple[GraphOutput, ...]
    hw: Tuple[int, int]
    classes: Optional[int] = None
    anchors: Optional[AnchorSet] = None
    last_operator: Callable[[str], str] = lambda name: ""
    operators: FrozenSet[str] = frozenset()
    extra_inputs: FrozenSet[str] = frozenset()
    has_bytes: bool = False
    has_patches: bool = False
    plugin: Optional[Tuple[str, float, float]] = None

    def rows(self) -> Iterator[Tuple[str, int, int]]:
        """Yield outputs (1, a, b) as (name, a, b), except `pairs` and `turned_pairs` of boxes and scores."""
        apart = [each for pair in (*self.pairs(), *self.turned_pairs()) for each in pair]
        for output in self.outputs:
            if len(output.shape) == 3 and output.shape[0] == 1 and output not in apart:
                yield output.name, output.shape[1], output.shape[2]

    def pairs(self) -> Iterator[Tuple[GraphOutput, GraphOutput]]:
        """Yield pairs of boxes (1, N, 4) and scores (1, N, C) with the same N rows."""
        for boxes in self.outputs:
            for scores in self.outputs:
                alike = len(scores.shape) == 3 and boxes.shape == (1, scores.shape[1], 4) and scores.shape[0] == 1
                if alike and scores is not boxes:
                    yield boxes, scores

    def turned_pairs(self) -> Iterator[Tuple[GraphOutput, GraphOutput]]:
        """Yield pairs of boxes (1, N, 4) and scores (1, C, N) whose N rows are a grid."""
        for boxes in self.outputs:
            for scores in self.outputs:
                alike = len(scores.shape) == 3 and boxes.shape == (1, scores.shape[2], 4) and scores.shape[0] == 1
                if alike and scores is not boxes and self.strides(scores.shape[2]):
                    yield boxes, scores

    def strides(self, cells: int) -> Tuple[int, ...]:
        """Return the strides whose grids have this total of cells, () when none do."""
        height, width = self.hw
        for strides in STRIDES:
            if sum((height // s) * (width // s) for s in strides) == cells:
                return strides
        return ()

    def is_grid(self, rows: int) -> bool:
        """Whether so many rows are the cells of a grid, with one box or three each."""
        return bool(self.strides(rows) or (rows % 3 == 0 and self.strides(rows // 3)))

    def named(self, *names: str) -> Tuple[GraphOutput, ...]:
        """Return the outputs of these names in this order, () when one is missing."""
        by_name = {output.name: output for output in self.outputs}
        return tuple(by_name[name] for name in names) if by_name.keys() >= set(names) else ()


@dataclass(frozen=True)
class HeadGuess:
    """A candidate for the heads.

    `needs`: options that the user must give. `build` appends nodes that compute the heads' outputs, in the heads'
    order, from the outputs that `reads` lists; without it the heads read the file's own outputs. `conf` and `iou`
    are thresholds of the file itself.
    """

    heads: Tuple[Head, ...] = ()
    needs: str = ""
    reads: Tuple[GraphOutput, ...] = ()
    build: Optional[Callable[[GraphTail], Sequence[GraphOutput]]] = None
    conf: Optional[float] = None
    iou: Optional[float] = None


@dataclass(frozen=True)
class Kind:
    """One family of exports.

    `explicit_only`: never guessed by shapes, which are ambiguous; only by metadata or the user. `names`: outputs that
    its exporter names so; a file that has them is guessed to be of such a family and of no other.
    `input` are fields of `types.Input`; of a graph that takes bytes, `byte_input` are. `raw` True: nothing is computed
    behind the convolutions; `scores_first`: its rows begin with a sigmoid, or do not; `patches`: it is a vision
    transformer, or none; None: no matter. `holds` are
    operators that the graph has or lacks. `labels` are label lists that a number of classes without names stands for.
    `conf` and `iou` are what the family runs at. The head that `find`
    makes says by `multi_label` whether the family's own predictor gives a place several classes.
    """

    about: str
    find: Callable[[OutputLayout], Iterator[HeadGuess]]
    input: Mapping[str, Any]
    raw: Optional[bool] = None
    holds: Mapping[str, bool] = field(default_factory=dict)
    scores_first: Optional[bool] = None
    patches: Optional[bool] = None
    conf: float = 0.25
    iou: float = 0.45
    explicit_only: bool = False
    result: Type[Result] = Detections
    names: FrozenSet[str] = frozenset()
    labels: Tuple[Tuple[str, ...], ...] = (COCO,)
    byte_input: Optional[Mapping[str, Any]] = None
