"""Detections with the ids of their tracks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from .frames import Array
from .results import Detection, Detections

if TYPE_CHECKING:
    from typing_extensions import Self  # which type checkers bring

    from ..track.events import Event

Trail = Tuple[Tuple[float, float], ...]


@dataclass(frozen=True)
class TrackedDetection(Detection):
    """One row of `Tracks`: a detection with the id of its track, unique in its stream, from 1 on."""

    track_id: int


@dataclass(frozen=True)
class CountedArea:
    """A line (two points) or a zone (more) with its counts up to a frame, as `AreaCounter.counts` gives them.

    `points` are in image pixels.
    """

    name: str
    points: Tuple[Tuple[float, float], ...]
    counts: Mapping[str, Any]

    def total(self, what: str) -> int:
        """Sum a count ("in", "out", "inside", "entered", "left") over its labels."""
        return sum(self.counts[what].values())

    def headline(self) -> str:
        """The name and the counts in a line: `door: 3 in, 1 out`, `ramp: 2 inside`."""
        names = ("in", "out") if len(self.points) == 2 else ("inside",)
        return f"{self.name}: " + ", ".join(f"{self.total(name)} {name}" for name in names)


class TrackPlaces(NamedTuple):
    """The ids (N,) of the tracks in a frame, and where their centres are: (N, 2) image pixels."""

    ids: Array
    centres: Array


@dataclass(frozen=True, repr=False)
class Tracks(Detections):
    """Detections of a video's frame with the ids of their tracks; iterate for `TrackedDetection` rows.

    `track_ids` (N,) int64, unique in the stream, from 1 on. `past`: where tracks of the stream were in the frames up to
    this one, which `trails` come from. `events`: what happened at lines and zones in this frame; `areas`: their counts
    up to it.

    >>> boxes = Detections(np.float32([(0, 0, 8, 8)]), np.float32([0.9]), np.int32([0]), ("cat",))
    >>> tracks = Tracks.of(boxes, np.array([7]))
    >>> tracks.to_rows()
    [{'class_id': 0, 'label': 'cat', 'score': 0.9, 'xyxy': [0.0, 0.0, 8.0, 8.0], 'track_id': 7}]
    >>> [(each.label, each.track_id) for each in tracks[tracks.track_ids == 7]]
    [('cat', 7)]
    """

    row_fields = (*Detections.row_fields, "track_id")
    columns_by_row = (*Detections.columns_by_row, "track_ids")
    track_ids: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    past: Tuple[TrackPlaces, ...] = ()
    events: Tuple[Event, ...] = ()
    areas: Tuple[CountedArea, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.track_ids.shape != (len(self),):
            raise ValueError(f"columns differ: {len(self)} boxes, track_ids {self.track_ids.shape}")

    @classmethod
    def of(cls, boxes: Detections, track_ids: Array, trails: Sequence[Trail] = ()) -> Self:
        """Add ids (N,) to detections; without `trails`, of this frame alone. The origin is that of `boxes`."""
        ids = np.asarray(track_ids, np.int64)
        past = []
        for age in range(max(map(len, trails), default=0), 0, -1):
            rows = [row for row, trail in enumerate(trails) if len(trail) >= age]
            past.append(TrackPlaces(ids[rows], np.array([trails[row][-age] for row in rows], np.float64)))
        return cls.with_past(boxes, ids, tuple(past) or (TrackPlaces(ids, boxes.xywh[:, :2]),))

    @classmethod
    def with_past(cls, boxes: Detections, track_ids: Array, past: Tuple[TrackPlaces, ...]) -> Self:
        """Add ids (N,) to detections, and the places of the stream's tracks up to this frame."""
        tracks = cls(boxes.xyxy, boxes.scores, boxes.class_ids, boxes.names, track_ids=track_ids, past=past)
        return tracks.with_origin(boxes.origin)

    @property
    def trails(self) -> Array:
        """The places of each centre up to this frame, as (x, y) in image pixels, oldest first: (N,) object."""
        column = np.empty(len(self), object)
        for row, points in enumerate(self.trail_points()):
            column[row] = tuple(map(tuple, points.tolist()))  # all at once, numpy would make columns of their points
        return column

    def trail_points(self) -> List[Array]:
        """The points of each trail as an array, (K, 2) float64. They are gathered anew by each call."""
        if not self.past:
            return [np.zeros((0, 2)) for _ in self.track_ids]
        ids = np.concatenate([each.ids for each in self.past])
        centres = np.concatenate([each.centres for each in self.past]).astype(np.float64)
        order = np.argsort(ids, kind="stable")
        ids, centres = ids[order], centres[order]
        limits = zip(np.searchsorted(ids, self.track_ids), np.searchsorted(ids, self.track_ids, "right"))
        return [centres[begin:end] for begin, end in limits]

    def counted_by(self, events: Sequence[Event], areas: Sequence[CountedArea]) -> Self:
        """The same tracks, with what happened at lines and zones."""
        return replace(self, events=tuple(events), areas=tuple(areas)).with_origin(self.origin)

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Self:
        """No rows."""
        return cls.of(Detections.empty(names), np.zeros(0, np.int64))

    def __iter__(self) -> Iterator[TrackedDetection]:
        for each, track_id in zip(super().__iter__(), self.track_ids):
            yield TrackedDetection(each.xyxy, each.score, each.class_id, each.label, int(track_id))

    def to_rows(self) -> List[Dict[str, Any]]:
        """Convert to rows for JSON: {class_id, label, score, xyxy, track_id} each."""
        return [{**row, "track_id": track_id} for row, track_id in zip(super().to_rows(), self.track_ids.tolist())]

    def to_boxes(self) -> Detections:
        """Convert to detections without ids."""
        return Detections(self.xyxy, self.scores, self.class_ids, self.names).with_origin(self.origin)

    def to_supervision(self) -> Any:
        """Convert to supervision's `Detections`, with `tracker_id`."""
        detections = super().to_supervision()
        detections.tracker_id = self.track_ids
        return detections

    def columns(self) -> Dict[str, Any]:
        """Convert to columns: boxes (N, 4), scores, class_ids, labels, track_ids."""
        return {**super().columns(), "track_ids": self.track_ids}

    def scaled(self, scale: float) -> Self:
        """The tracks of the image at another size."""
        past = tuple(TrackPlaces(each.ids, each.centres * scale) for each in self.past)
        areas = [replace(each, points=tuple((x * scale, y * scale) for x, y in each.points)) for each in self.areas]
        return self.with_past(super().scaled(scale), self.track_ids, past).counted_by(self.events, areas)
