"""The engines beside each other, the network alone: `python -m benchmarks.engines [MODEL ...] [--isa AVX2]`.

    python -m benchmarks.engines --json benchmarks/results/engines.json     measure, and print the tables
    python -m benchmarks.engines --table benchmarks/results/engines.json    print the tables of a file

Every engine that runs here, in fp32 and in the lower precision that it computes natively. Processes take turns
(`edgecsp bench`); a figure is a row's fastest call, so that what other programs take does not count.
`--isa` holds OpenVINO to less than the CPU has, by variables of its own; onnxruntime, OpenCV and ncnn have none that
say so, and are left out then.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from edgecsp import backends, bench, zoo
from edgecsp.cache import files

SCHEMA = "edgecsp-engines/1"
MODELS = ("codes", "yolov3-tiny", "yolov4-tiny", "csppeleenet-ref-efm-sam")
ISAS = {"native": "", "AVX-512": "AVX512_CORE", "AVX2": "AVX2"}
VARIABLES = ("OV_CPU_MAX_ISA", "ONEDNN_MAX_CPU_ISA")  # both, says OpenVINO: its own kernels and oneDNN's
LIMITED = "openvino"  # the engine that they hold


def winograd_share(name: str) -> float:
    """The share of a zoo model's operations that 3x3 convolutions of stride 1 have, which Winograd makes fewer."""
    layers = zoo.net(name).layers
    fits = (
        layer.flops
        for layer in layers
        if layer.op == "conv" and layer.attrs["size"] == (3, 3) and layer.attrs["stride"] == (1, 1)
        and layer.attrs["groups"] == 1
    )  # fmt: skip
    return sum(fits) / sum(layer.flops for layer in layers)


@contextmanager
def limit_isa(isa: str) -> Iterator[None]:
    """Hold the engine `LIMITED` in child processes to an instruction set of `ISAS`."""
    before = dict(os.environ)
    try:
        os.environ.update({name: ISAS[isa] for name in VARIABLES if ISAS[isa]})
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(models: List[str], isa: str, seconds: float, rounds: int) -> Dict[str, Any]:
    """Measure the engines under an instruction set; {"peak": GFLOP/s by precision, "rows": [...]}."""
    engines: Tuple[str, ...] = (LIMITED,)
    precisions: Tuple[str, ...] = ("fp32",)
    if isa == "native":
        names = backends.names(with_dummies=False)
        engines = tuple(name for name in names if not backends.unavailable_reason(name, "cpu"))
        precisions = ("fp32", "bf16")
    settings = bench.BenchSettings(engines=engines, precisions=precisions, duration_s=seconds, rounds=rounds)
    with limit_isa(isa):
        report = bench.run(models, settings)
    rows = [
        {"model": row["model"], "engine": row["engine"], "precision": row["precision"], "ms": min(row["ms"])}
        for row in report["rows"]
        if row["ms"]
    ]
    return {"isa": isa, "machine": report["machine"], "rows": rows}


def table(run: Dict[str, Any]) -> str:
    """A row a model, a column an engine and precision: milliseconds, and in brackets times onnxruntime's speed."""
    ways = list(dict.fromkeys((row["engine"], row["precision"]) for row in run["rows"]))
    heads = ["model", "3x3", *(f"{engine} {precision}" for engine, precision in ways)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for model in dict.fromkeys(row["model"] for row in run["rows"]):
        mine = {(row["engine"], row["precision"]): row["ms"] for row in run["rows"] if row["model"] == model}
        base = mine.get((backends.REFERENCE, "fp32"))
        cells = [model, f"{100 * winograd_share(model):.0f} %"]
        for way in ways:
            times = f" ({base / mine[way]:.2f})" if base and way in mine and way[0] != backends.REFERENCE else ""
            cells.append(f"{mine[way]:.1f}{times}" if way in mine else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(report: Dict[str, Any]) -> str:
    """The tables of a report, each under a line that says where and how it was measured."""
    parts = []
    for run in report["runs"]:
        machine = run["machine"]
        limit = "" if run["isa"] == "native" else f", held to {run['isa']} ({VARIABLES[0]}={ISAS[run['isa']]})"
        peak = ", ".join(f"{name} {value:.0f}" for name, value in machine["peak_gflops"].items() if value)
        parts.append(
            f"{machine['name']} ({', '.join(machine['isa'])}), {report['threads']} threads{limit}; GFLOP/s: {peak}"
        )
        parts.append(table(run))
    return "\n\n".join(parts)


def main() -> None:
    """Parse the command line, measure and print."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__.split("\n")[0])
    p.add_argument("model", nargs="*", default=MODELS, help=f"names of the zoo [default: {', '.join(MODELS)}]")
    p.add_argument("--isa", choices=ISAS, action="append", help="instruction sets to hold to [default: all]")
    p.add_argument("--seconds", type=float, default=4.0, help="of each row")
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--table", type=Path, metavar="FILE", help="print the tables of a file instead of measuring")
    a = p.parse_args()
    if a.table:
        print(tables(json.loads(a.table.read_text("utf-8"))))
        return
    runs = [measure(list(a.model), isa, a.seconds, a.rounds) for isa in a.isa or ISAS]
    report = {"schema": SCHEMA, "threads": runs[0]["machine"]["threads"], "runs": runs}
    if a.json:
        with files.atomic(a.json) as file:
            file.write(json.dumps(report, indent=1).encode() + b"\n")
    print(tables(report))


if __name__ == "__main__":
    main()
