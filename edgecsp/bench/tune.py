"""Find the fastest engine, precision, threads and concurrency for one model on this machine.

    outcome = tune.run(store.resolve("codes"), "codes", tune.Tuning(seconds=60), data=Path("labelled"))
    outcome.save()                                  # from now on `pipeline.load(engine="auto")` uses it

`_accuracy_gate` decides which other precisions are accurate enough, `_successive_halving` measures,
`backends.tuning` stores the choice.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..backends import tuning as tuned
from ..backends.tuning import KINDS, Candidate
from ..errors import BuildFailed, EdgecspError
from ..graph import onnx_model, precision
from ..system import cpu
from ..system.progress import NO_PROGRESS, Progress
from ..types import Model
from . import _accuracy_gate, _candidates, accuracy
from ._accuracy_gate import EngineDevice, Verdict
from ._candidates import Contender, Tuning
from ._successive_halving import WARM_S, Contest, ContestRow, winner
from .cases import Case
from .process import BenchStopped

__all__ = ["Candidate", "Outcome", "BenchStopped", "Tuning", "run"]

SCHEMA = "edgecsp-tune/1"
Tick = Callable[[], None]


@dataclass
class Outcome:
    """The result of a run: two choices by `tuning.KINDS`, the report as plain values, and the int8 graph if any."""

    model: Model
    spec: str
    choices: Dict[str, Candidate]
    report: Dict[str, Any]
    int8: Optional[Model] = None

    def save(self) -> Path:
        """Store the choice, so that "auto" uses it from now on; returns the file. Raises `OutputError`."""
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
    """Measure all candidates for a model that the user calls `spec`.

    `data`, labelled images as `accuracy.read` reads them, admits other precisions than the graph's and that of "auto",
    and only those that are accurate; `ranges` are int8's [default: measured on the data]. `progress` shows the seconds,
    `tick` may raise `BenchStopped`, which passes through. Raises an `EdgecspError`.
    """
    tuning = tuning or Tuning()
    started, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    places = _candidates.find_engine_devices(tuning)
    requested = _candidates.list_other_precisions(model, places, tuning, judged=data is not None)
    labelled = _accuracy_gate.read_data(data, model) if data else None
    progress.update(description="the graphs", total=1)
    notes: List[str] = []
    int8, verdicts = _judge_others(model, requested, labelled, ranges, tuning, notes, progress, tick)
    is_passed = {Contender(each.engine, each.device, each.precision): each.refused is None for each in verdicts}
    own = precision.detect_precision(model)
    possible = (
        Contender(engine, device, name)
        for engine, device in places
        for name in _candidates.select_precisions(model, engine, device, tuning)
    )
    offered = [each for each in possible if is_passed.get(each, _candidates.needs_no_data(model, *each))]
    if not offered:
        reasons = "".join(f"\n  {v.engine} on {v.device} in {v.precision}: {v.refused}" for v in verdicts if v.refused)
        raise BuildFailed(f"none of the requested options can be used{reasons}")
    rows = _measure(model, int8, offered, tuning, progress, tick)
    choices, choices_json = _choose_winners(rows)
    report = {
        "schema": SCHEMA, "command": list(command), "started": started.isoformat(timespec="seconds"),
        "seconds": time.monotonic() - begun, "model": spec, "title": model.name, "input_hw": list(model.input.hw),
        "machine": tuned.describe_machine(), "versions": tuned.versions(sorted({engine for engine, _ in places})),
        "settings": asdict(tuning), "data": _describe_data(labelled), "own": own,
        "verdicts": [asdict(v) for v in verdicts],
        "notes": notes, "rows": [row.to_dict() for row in rows], "choices": choices_json,
    }  # fmt: skip
    return Outcome(model, spec, choices, report, int8)


def _judge_others(
    model: Model,
    requested: Dict[EngineDevice, List[str]],
    labelled: Optional[accuracy.Data],
    ranges: Optional[precision.Ranges],
    tuning: Tuning,
    notes: List[str],
    progress: Progress,
    tick: Tick,
) -> Tuple[Optional[Model], List[Verdict]]:
    """Build the int8 graph if it is requested and possible, and judge the other precisions."""
    if labelled is None or not any(requested.values()):
        return None, []
    scored, rest = _accuracy_gate.split(labelled)
    notes.append(f"AP is of {len(scored.images)} of the data's {len(labelled.images)} images")
    int8, refused = None, []
    if ranges is not None:
        int8 = precision.with_ranges(model, ranges)
    elif any("int8" in names for names in requested.values()):
        which = "the images that AP is measured on" if rest is labelled.images else "other images of the data"
        notes.append(f"int8's ranges are measured on {which}")
        try:
            precision.check_quantizable(model)
            progress.update(description="int8's ranges")
            int8 = precision.with_ranges(model, _accuracy_gate.measure_ranges(model, rest, cpu.threads(), tick))
        except EdgecspError as error:
            why = " ".join(str(error).split())
            refused = [Verdict(*place, "int8", refused=why) for place, names in requested.items() if "int8" in names]
            requested = {place: [name for name in names if name != "int8"] for place, names in requested.items()}
    return int8, refused + _accuracy_gate.judge_precisions(
        model, int8, requested, scored, tuning.max_ap_drop, progress, tick
    )


def _measure(
    model: Model, int8: Optional[Model], offered: Sequence[Contender], tuning: Tuning, progress: Progress, tick: Tick
) -> List[ContestRow]:
    """Run both contests, one after the other; returns all rows."""
    begun, total = time.monotonic(), tuning.seconds
    kinds = KINDS if cpu.threads() > 1 else KINDS[:1]  # with one thread the scheduler never lets frames overlap
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
                "mode": row.kind, "home": home, "warm_s": WARM_S,
                **Case(model, **asdict(each)).to_request(folder / f"{graph}.onnx"),
            }  # fmt: skip

        def show(text: str) -> None:
            done = min(int(total), int(time.monotonic() - begun))
            progress.update(description=text, completed=done, total=int(total))

        for number, kind in enumerate(kinds, 1):
            field = list(_candidates.build_rows(kind, offered, model, tuning))
            _candidates.drop_slow_candidates(field, rows)
            contest = Contest(request, len(model.onnx), begun + total * number / len(kinds), show, tick)
            try:
                contest.run([row for row in field if not row.dropped])
            finally:
                contest.close()
            rows += field
    return rows


def _choose_winners(rows: Sequence[ContestRow]) -> Tuple[Dict[str, Candidate], Dict[str, Any]]:
    """Choose the winner of each contest and compare it with the default. Raises `BuildFailed` when nothing ran."""
    choices: Dict[str, Candidate] = {}
    choices_json: Dict[str, Any] = {}
    for kind in KINDS:
        field = [row for row in rows if row.kind == kind]
        best, sure = winner(field)
        if best is None and not field:  # one thread: frames never overlap
            choices[kind], choices_json[kind] = choices[KINDS[0]], choices_json[KINDS[0]]
            continue
        if best is None:
            reasons = "".join(f"\n  {row.candidate}: {row.dropped}" for row in field)
            raise BuildFailed(f"nothing could be measured for {kind}{reasons}")
        default = next((row for row in field if row.default and row.rounds and not row.dropped), None)
        choices[kind] = best.candidate
        choices_json[kind] = {
            "chosen": best.to_dict(),
            "default": default.to_dict() if default else None,
            "times_as_fast": default.ms / best.ms if default else None,
            "interval": list(sure) if sure else None,
        }
    return choices, choices_json


def _describe_data(labelled: Optional[accuracy.Data]) -> Optional[Dict[str, Any]]:
    return {"name": labelled.name, "layout": labelled.layout, "pictures": len(labelled.images)} if labelled else None
