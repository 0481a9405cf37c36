"""Which engine, precision, threads and frames at once are fastest here for one model.

    found = tune.run(store.resolve("codes"), "codes", tune.Tuning(seconds=60), data=Path("labelled"))
    found.keep()                                    # from now on `pipeline.load(engine="auto")` takes it

`_judged` says which other precisions are good enough, `_contest` measures, `tuned` keeps.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .. import backends
from ..backends import tuning as tuned
from ..backends.tuning import KINDS, Candidate
from ..errors import BuildFailed, EdgecspError
from ..graph import onnx_model, precision
from ..system import cpu
from ..system.progress import NO_PROGRESS, Progress
from ..types import Model
from . import _accuracy_gate, _candidates, accuracy
from ._accuracy_gate import Place, Verdict
from ._candidates import Contender, Tuning
from ._process import BenchStopped
from ._successive_halving import WARM_S, Contest, ContestRow, winner

__all__ = ["Candidate", "Outcome", "BenchStopped", "Tuning", "run"]

SCHEMA = "edgecsp-tune/1"
Tick = Callable[[], None]


@dataclass
class Outcome:
    """What came of it: the two choices by `tuning.KINDS`, the report as JSON, and the int8 graph if one was made."""

    model: Model
    spec: str
    choices: Dict[str, Candidate]
    report: Dict[str, Any]
    int8: Optional[Model] = None

    def keep(self) -> Path:
        """Have "auto" use it from now on; the file that says so. Raises `OutputError`."""
        return tuned.save(self.model, self.spec, self.choices, self.report, self.int8)


def run(
    model: Model,
    spec: str,
    tuning: Optional[Tuning] = None,
    *,
    data: Optional[Path] = None,
    ranges: Optional[precision.Ranges] = None,
    progress: Progress = NO_PROGRESS,
    tick: Tick = lambda: None,
    command: Sequence[str] = (),
) -> Outcome:
    """Measure what there is to choose from, for a model that the user calls `spec`.

    `data`, labelled images as `accuracy.read` knows them, lets other precisions than the graph's in; `ranges` are
    int8's [default: measured on the data]. `progress` shows the seconds, `tick` may raise
    `BenchStopped`, which passes through. Raises an `EdgecspError`.
    """
    tuning = tuning or Tuning()
    started, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    places = _candidates.places(tuning)
    wanted = _candidates.wanted(model, places, tuning, judged=data is not None)
    held = _accuracy_gate.read(data, model) if data else None
    progress.update(description="the graphs", total=1)
    notes: List[str] = []
    int8, verdicts = _others(model, wanted, held, ranges, tuning, notes, progress, tick)
    passed = {(each.engine, each.device, each.precision) for each in verdicts if each.refused is None}
    own = precision.detect_precision(model)
    offered = [
        Contender(engine, device, name)
        for engine, device in places
        for name in _candidates.asked(tuning, own, backends.module(engine).PRECISIONS)
        if name == own or (engine, device, name) in passed
    ]
    if not offered:
        reasons = "".join(f"\n  {v.engine} on {v.device} in {v.precision}: {v.refused}" for v in verdicts if v.refused)
        raise BuildFailed(f"nothing that was asked for can be taken{reasons}")
    rows = _measured(model, int8, offered, own, tuning, progress, tick)
    choices, said = _choices(rows)
    report = {
        "schema": SCHEMA, "command": list(command), "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - begun, "model": spec, "title": model.name, "input_hw": list(model.input.hw),
        "machine": tuned.machine(), "versions": tuned.versions(sorted({engine for engine, _ in places})),
        "settings": asdict(tuning), "data": _data_said(held), "own": own, "verdicts": [asdict(v) for v in verdicts],
        "notes": notes, "rows": [row.said() for row in rows], "choices": said,
    }  # fmt: skip
    return Outcome(model, spec, choices, report, int8)


def _others(
    model: Model,
    wanted: Dict[Place, List[str]],
    held: Optional[accuracy.Data],
    ranges: Optional[precision.Ranges],
    tuning: Tuning,
    notes: List[str],
    progress: Progress,
    tick: Tick,
) -> Tuple[Optional[Model], List[Verdict]]:
    """The int8 graph if one is wanted and can be made, and what the other precisions are worth."""
    if held is None or not any(wanted.values()):
        return None, []
    scored, rest = _accuracy_gate.split(held)
    notes.append(f"AP is of {len(scored.pictures)} of the data's {len(held.pictures)} pictures")
    int8, refused = None, []
    if ranges is not None:
        int8 = precision.with_ranges(model, ranges)
    elif any("int8" in names for names in wanted.values()):
        which = "the pictures that AP is of" if rest is held.pictures else "others of the data"
        notes.append(f"int8's ranges are measured on {which}")
        try:
            precision.quantizable(model)
            progress.update(description="int8's ranges")
            int8 = precision.with_ranges(model, _accuracy_gate.ranges(model, rest, cpu.threads(), tick))
        except EdgecspError as error:
            why = " ".join(str(error).split())
            refused = [Verdict(*place, "int8", refused=why) for place, names in wanted.items() if "int8" in names]
            wanted = {place: [name for name in names if name != "int8"] for place, names in wanted.items()}
    return int8, refused + _accuracy_gate.verdicts(model, int8, wanted, scored, tuning.max_ap_drop, progress, tick)


def _measured(
    model: Model,
    int8: Optional[Model],
    offered: Sequence[Contender],
    own: str,
    tuning: Tuning,
    progress: Progress,
    tick: Tick,
) -> List[ContestRow]:
    """Both contests, one after the other; every row of them."""
    begun, total = time.monotonic(), tuning.seconds
    kinds = KINDS if cpu.threads() > 1 else KINDS[:1]  # with one thread `flow` never lets frames overlap
    rows: List[ContestRow] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for graph, name in ((model, "own"), (int8, "int8")):
            if graph is not None:
                onnx_model.save(graph, folder / f"{name}.onnx")

        def request(row: ContestRow) -> Dict[str, Any]:
            each = row.candidate
            graph = "int8" if each.precision == "int8" and int8 is not None else "own"
            home = str(folder / "home") if each.device == "cpu" else ""  # a TensorRT plan is worth keeping
            return {
                "make": "edgecsp.bench._timed:subject", "path": str(folder / f"{graph}.onnx"), "home": home,
                "kind": row.kind, **asdict(each), "warm_s": WARM_S,
            }  # fmt: skip

        def show(text: str) -> None:
            done = min(int(total), int(time.monotonic() - begun))
            progress.update(description=text, completed=done, total=int(total))

        for number, kind in enumerate(kinds, 1):
            field = list(_candidates.rows(kind, offered, own, tuning))
            _candidates.hopeless(field, rows)
            contest = Contest(request, len(model.onnx), begun + total * number / len(kinds), show, tick)
            try:
                contest.run([row for row in field if not row.dropped])
            finally:
                contest.close()
            rows += field
    return rows


def _choices(rows: Sequence[ContestRow]) -> Tuple[Dict[str, Candidate], Dict[str, Any]]:
    """The winner of each contest, and it beside the default, as JSON. Raises `BuildFailed` when nothing ran."""
    choices: Dict[str, Candidate] = {}
    said: Dict[str, Any] = {}
    for kind in KINDS:
        field = [row for row in rows if row.kind == kind]
        best, sure = winner(field)
        if best is None and not field:  # one thread: frames never overlap
            choices[kind], said[kind] = choices[KINDS[0]], said[KINDS[0]]
            continue
        if best is None:
            reasons = "".join(f"\n  {row.candidate}: {row.dropped}" for row in field)
            raise BuildFailed(f"nothing could be measured for {kind}{reasons}")
        default = next((row for row in field if row.default and row.rounds and not row.dropped), None)
        choices[kind] = best.candidate
        said[kind] = {
            "chosen": best.said(),
            "default": default.said() if default else None,
            "times_as_fast": default.ms / best.ms if default else None,
            "interval": list(sure) if sure else None,
        }
    return choices, said


def _data_said(held: Optional[accuracy.Data]) -> Optional[Dict[str, Any]]:
    return {"name": held.name, "layout": held.layout, "pictures": len(held.pictures)} if held else None
