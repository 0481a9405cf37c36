"""Lines and zones of a stream while it runs: what is counted for them, and where changes of them are saved."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, fields
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..track import AreaCounter, Event, Line, Zone
from ..types import Frame, Model, Tracks

COOLDOWN_S = 1.0
MOST, MOST_POINTS = 32, 64  # lines and zones of a stream, points of a zone
Area = Union[Line, Zone]
Save = Callable[[Sequence[Line], Sequence[Zone]], None]


class StreamAreas:
    """The lines and zones of one stream, and their counter. Thread-safe.

    `save` keeps changed ones for the next start; None when they may not be changed.
    """

    def __init__(
        self, stream: str, lines: Sequence[Line] = (), zones: Sequence[Zone] = (), *, save: Optional[Save] = None
    ) -> None:
        self.stream = stream
        self._save = save
        self._lock = threading.Lock()
        self._counter = AreaCounter(lines, zones, stream)

    @property
    def is_editable(self) -> bool:
        """Whether clients may change the lines and zones."""
        return self._save is not None

    @property
    def lines(self) -> Tuple[Line, ...]:
        """The lines."""
        return self._counter.lines

    @property
    def zones(self) -> Tuple[Zone, ...]:
        """The zones."""
        return self._counter.zones

    def update(self, frame: Frame, tracks: Tracks) -> List[Event]:
        """Count the tracks of the next frame; return what happened."""
        height, width = frame.hw
        with self._lock:
            return self._counter.update(tracks, frame.pts_s or 0.0, (width, height))

    def skip(self) -> None:
        """Forget the objects, because the stream was interrupted; what was counted stays."""
        with self._lock:
            self._counter.skip()

    def counts(self) -> Dict[str, Any]:
        """Return the counts, as `AreaCounter.counts` does."""
        with self._lock:
            return self._counter.counts()

    def replace(self, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
        """Save and count other lines and zones from now on; unchanged ones keep their counts. Raises `OutputError`."""
        assert self._save is not None
        changed = AreaCounter(lines, zones, self.stream)
        self._save(lines, zones)
        with self._lock:
            self._counter.skip()
            changed.take_over(self._counter)
            self._counter = changed


# -- as JSON and TOML --------------------------------------------------------------------------------------------------


def from_dict(kind: Callable[..., Any], entry: Mapping[str, Any], model: Optional[Model] = None) -> Any:
    """Make a `Line` or `Zone` of a JSON object or a table of the site file. Raises `UsageError`."""
    values = {key: value for key, value in entry.items() if value is not None}
    if model is not None and "classes" in values:
        values["classes"] = [model.labels[i] for i in model.class_ids([str(each) for each in values["classes"]])]
    return kind(**{"cooldown_s": COOLDOWN_S, **values})


def to_dict(area: Area, wh: Optional[Tuple[int, int]] = None) -> Dict[str, Any]:
    """Convert a line or zone to an object for JSON, its points relative where the size of the image is known."""
    entry = asdict(area)
    if wh is not None:
        entry["points"] = area.to_relative(wh)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}


def to_toml(lines: Sequence[Line], zones: Sequence[Zone]) -> str:
    """Write lines and zones as they are written in the site file, behind the table of their stream."""
    blocks = [_to_toml("lines", each) for each in lines] + [_to_toml("zones", each) for each in zones]
    return "\n".join(blocks)


def _to_toml(table: str, area: Area) -> str:
    defaults = {each.name: each.default for each in fields(area)}
    defaults["cooldown_s"] = COOLDOWN_S
    entry = {key: value for key, value in to_dict(area).items() if value != defaults[key]}
    # JSON's texts, numbers and lists are also TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[[streams.{table}]]", *lines, ""])
