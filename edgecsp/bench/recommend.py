"""Rank the detectors of the zoo for a device, by published or measured speed, never by an estimated one.

    for row in recommend.rank("rpi5", fps=30):
        print(row.rank, row.model, row.why)

A speed that nobody published or measured stays unknown. Then BFLOPs say at most that a model costs no more than one
that is known to be fast enough, and not even that where many of its convolutions are grouped.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from .. import zoo
from ..backends import tuning
from ..errors import UnknownName
from ..zoo import Entry, store


class Device(NamedTuple):
    """A device: the key of its speeds in `PublishedRow.fps`, what they were measured on, and how far that is it."""

    title: str
    key: str
    on: str
    certainty: str
    source: str


DEVICES: Mapping[str, Device] = {
    "jetson-tx2": Device(
        "Jetson TX2", "mgpu", "on a Jetson TX2", "published for this board", "CSPNet paper, Table 5: darknet, fp32"
    ),
    "rpi5": Device(
        "Raspberry Pi 5",
        "a76",
        "on an RK3588's four Cortex-A76",
        "published for the same CPU cores",
        "Tencent/ncnn, benchmark/README: ncnn on cores of 2.4 GHz, the network alone",
    ),
    "cpu": Device(
        "CPU", "cpu", "on a Core i9-9900K", "published for another CPU", "CSPNet paper, Table 5: OpenCV, fp32"
    ),
}
HERE = "cpu"  # the device that `edgecsp tune` measures: this machine
FAST, CHEAP, UNKNOWN, SLOW = range(4)  # groups, the best first
NO_SPEED = "no speed is known"
GROUPED = 0.25  # a share of grouped convolutions from which BFLOPs say nothing of the speed


class Speed(NamedTuple):
    """A known speed: frames per second, on what, and how certain it is for the device."""

    fps: float
    on: str
    certainty: str


class Recommendation(NamedTuple):
    """A model in its place: `fps` is None where nobody published or measured it; `why` and `certainty` are text."""

    rank: int
    model: str
    title: str
    input: int
    ap50: float
    bflops: float
    fps: Optional[float]
    weights: str
    is_fast_enough: Optional[bool]
    why: str
    certainty: str


def rank(device: str, *, fps: float = 30, has_weights: bool = False) -> List[Recommendation]:
    """Rank the detectors of COCO's classes for a device, the best first.

    First those whose known speed reaches `fps`, by AP50; then those of unknown speed that cost no more than one of
    these, by AP50; then those of which nothing is known, the cheapest first; last those that are known to be slower,
    and what costs more. `has_weights` leaves out models that have none to download. Raises `UnknownName`.
    """
    if device not in DEVICES:
        raise UnknownName("device", device, DEVICES)
    entries = _list_detectors()
    speeds = _find_speeds(device, entries)
    known = sorted((entry for entry in entries if entry.name in speeds), key=lambda entry: entry.cost().bflops)
    bounds = _Bounds(
        next((entry for entry in reversed(known) if speeds[entry.name].fps >= fps), None),
        next((entry for entry in known if speeds[entry.name].fps < fps and not _is_grouped(entry)), None),
        speeds,
    )
    judged = []
    for entry in entries:
        speed, weights = speeds.get(entry.name), _find_weights(entry)
        if speed is None:
            group, certainty, why = bounds.judge(entry)
        else:
            group, certainty = FAST if speed.fps >= fps else SLOW, speed.certainty
            why = f"{speed.fps:.0f} fps {speed.on}" + ("" if speed.fps >= fps else f", fewer than {fps:g}")
        if weights != "none" or not has_weights:
            judged.append((group, entry, speed, weights, certainty, why))
    judged.sort(key=lambda each: (each[0], -_ap50(each[1]) if each[0] <= CHEAP else each[1].cost().bflops))
    return [
        Recommendation(
            place,
            entry.name,
            entry.title,
            entry.size,
            _ap50(entry),
            round(entry.cost().bflops, 4),
            None if speed is None else round(speed.fps, 1),
            weights,
            None if speed is None else group == FAST,
            why,
            certainty,
        )
        for place, (group, entry, speed, weights, certainty, why) in enumerate(judged, 1)
    ]


class _Bounds(NamedTuple):
    """What is known of speeds: the dearest model that is fast enough, and the cheapest plain one that is not."""

    fast: Optional[Entry]
    slow: Optional[Entry]
    speeds: Mapping[str, Speed]

    def judge(self, entry: Entry) -> Tuple[int, str, str]:
        """The group, certainty and reason of a model of unknown speed."""
        bflops = entry.cost().bflops
        if _is_grouped(entry):
            return UNKNOWN, "unknown", f"{NO_SPEED}; BFLOPs do not tell that of grouped convolutions"
        if self.fast is not None and bflops <= self.fast.cost().bflops:
            return CHEAP, "by BFLOPs alone", f"costs no more than {self._with_speed(self.fast)}"
        if self.slow is not None and bflops >= self.slow.cost().bflops:
            return SLOW, "by BFLOPs alone", f"costs no less than {self._with_speed(self.slow)}"
        return UNKNOWN, "unknown", NO_SPEED

    def _with_speed(self, entry: Entry) -> str:
        speed = self.speeds[entry.name]
        return f"{entry.name}, which reaches {speed.fps:.0f} fps {speed.on}"


def _is_grouped(entry: Entry) -> bool:
    """Whether so many convolutions are grouped that BFLOPs do not tell the speed."""
    convolutions = [layer for layer in entry.net().layers if layer.op == "conv"]
    return bool(sum(layer.attrs["groups"] > 1 for layer in convolutions) >= GROUPED * len(convolutions))


def _list_detectors() -> List[Entry]:
    """Detectors of COCO's classes with a published AP50 at their own size."""
    entries = map(zoo.get, zoo.names())
    return [each for each in entries if each.result.has_boxes and not each.labels and _ap50(each)]


def _ap50(entry: Entry) -> float:
    """The published AP50 at the default size, 0 where none is."""
    return next((row.ap[1] for row in entry.rows if row.size == entry.size and row.ap[1]), 0.0)


def _find_weights(entry: Entry) -> str:
    return "installed" if store.record(entry.name) else "public" if entry.weights else "none"


def _find_speeds(device: str, entries: List[Entry]) -> Dict[str, Speed]:
    """The known speeds at the models' own sizes; what was measured here goes before what was published."""
    at = DEVICES[device]
    rows = [(entry.name, row) for entry in entries for row in entry.rows if row.size == entry.size]
    speeds = {name: Speed(row.fps[at.key], at.on, at.certainty) for name, row in rows if at.key in row.fps}
    return {**speeds, **(_find_tuned() if device == HERE else {})}


def _find_tuned() -> Dict[str, Speed]:
    """What `edgecsp tune` measured on this machine and what still applies."""
    speeds: Dict[str, Speed] = {}
    for each in tuning.list_tunings():
        name, content = str(each.content.get("spec")), each.content
        chosen = content.get("report", {}).get("choices", {}).get("latency", {}).get("chosen", {})
        applies = each.stale_reason is None and chosen.get("p50_ms") and zoo.has(name)
        if applies and content["input_hw"] == [zoo.get(name).size] * 2:
            speeds[name] = Speed(1000 / chosen["p50_ms"], "here", "measured on this machine by edgecsp tune")
    return speeds
