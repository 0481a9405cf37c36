"""Time and memory that each model of the zoo takes to build; or its cost beside its paper's row.

    python benchmarks/zoo_build.py [NAME ...]       seconds and peak memory, each in a process of its own
    python benchmarks/zoo_build.py --costs          the table of edgecsp/zoo/README.md

A build is layers, random weights and the serialised ONNX. The targets are below 2 s and 4 times the weights, or 4 MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Dict, List, Optional

SECONDS, TIMES, FLOOR = 2.0, 4.0, 4e6


def measure(name: str) -> Dict[str, float]:
    """Build one model in this process: seconds, the weights' bytes and the growth of the peak memory."""
    from edgecsp import zoo
    from edgecsp.graph import onnx_model
    from edgecsp.graph.export import RandomWeights
    from edgecsp.graph.layers import Net

    # What the first build of a process costs once (imports, the generator) is not the model's.
    once = Net(3, 32, 32)
    once.scores(once.global_avgpool(once.conv(once.input, 64, 3)))
    warm = onnx_model.build(once, RandomWeights(), name="once", labels=("any",) * 64)
    onnx_model.reshape(warm, batch=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    zoo.model(name, RandomWeights())
    seconds = time.perf_counter() - begun
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # Linux counts kilobytes, macOS bytes.
    return {
        "seconds": seconds,
        "grown": grown * (1 if sys.platform == "darwin" else 1024),
        "weights": 4 * zoo.get(name).cost().weights,
    }


def builds(names: List[str]) -> int:
    """Print a line a model; how many miss a target."""
    missed = 0
    print(f"{'model':26} {'seconds':>8} {'peak MB':>8} {'weights MB':>11} {'times':>6}")
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.zoo_build", "--one", name], check=True, stdout=subprocess.PIPE
        )
        figures = json.loads(done.stdout)
        times = figures["grown"] / figures["weights"]
        late = figures["seconds"] >= SECONDS or (times >= TIMES and figures["grown"] >= FLOOR)
        missed += late
        print(
            f"{name:26} {figures['seconds']:8.2f} {figures['grown'] / 1e6:8.1f} {figures['weights'] / 1e6:11.1f} "
            f"{times:6.2f}{'  MISSED' if late else ''}"
        )
    return missed


def costs() -> None:
    """Print the table of what is printed in the papers and what our layers cost."""
    from edgecsp import zoo

    print("| model | input | BFLOPs printed | ours | off | parameters printed | ours | off | layers |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for name in zoo.names():
        entry = zoo.get(name)
        for row in sorted(entry.rows, key=lambda row: -row.size):
            cost = entry.cost((row.size, row.size))
            params = (cost.floats if row.count == "floats" else cost.weights) / 1e6
            mark = " all" if row.count == "floats" else ""
            print(
                f"| {name} | {row.size} | {beside(row.bflops, cost.bflops, 3)} "
                f"| {beside(row.params_m, params, 3, mark)} | {entry.provenance} |"
            )


def beside(printed: Optional[float], ours: float, digits: int, mark: str = "") -> str:
    """Three cells: the printed number, ours, and by how much ours is off."""
    if printed is None:
        return f"- | {ours:.{digits}f} | "
    return f"{printed:g}{mark} | {ours:.{digits}f} | {100 * (ours / printed - 1):+.2f}%"


def main() -> int:
    """Run as the docstring says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--costs", action="store_true", help="print the table of costs")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.costs:
        costs()
        return 0
    if arguments.one:
        print(json.dumps(measure(arguments.names[0])))
        return 0
    from edgecsp import zoo

    return 1 if builds(arguments.names or list(zoo.names())) else 0


if __name__ == "__main__":
    sys.exit(main())
