"""Ray's part of `edgecsp batch` alone: real nodes, a real scheduler, the driver's own code, workers that only wait.

Each node is a raylet as `ray.cluster_utils.Cluster` starts it, all of them on this machine; without its two agents,
unless they are asked for: no part passes them, and 64 nodes' take 7 GB and minutes to start. Workers are processes and
answer as if a part were done; a worker that stands for a machine of 16 cores waits a sixteenth.
"""

from __future__ import annotations

import os
import re
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from edgecsp.batch import _ray
from edgecsp.batch.shards import Shard

from . import proc
from .batch_idle import Idle
from .batch_scale import made_up_parts, print_figures
from .effort import MARK, Effort

MIB = 1 << 20
KINDS = ("gcs_server", "raylet", "DashboardAgent", "RuntimeEnvAgent", "log_monitor", "dashboard.py")


class Threads(threading.Thread):
    """CPU seconds of this process's threads, by name: what one of them must do cannot be spread."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="looking")
        self._over = threading.Event()
        self._spent: Dict[Tuple[str, str], float] = {}

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.wait(0.5):
            self.look()

    def look(self) -> Dict[str, float]:
        """CPU seconds of each name until now."""
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        for folder in Path("/proc/self/task").iterdir():
            try:
                spent = proc.stat(folder)
            except OSError:  # it has ended
                continue
            name = names.get(int(folder.name)) or spent.name
            self._spent[folder.name, re.split(r"[-(]", name)[0]] = spent.cpu_s
        seconds_by_name: Dict[str, float] = {}
        for (_, name), seconds in list(self._spent.items()):
            seconds_by_name[name] = seconds_by_name.get(name, 0.0) + seconds
        return seconds_by_name

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


class Moment(NamedTuple):
    """The cost until a moment: when, after how many parts, CPU seconds by kind of process and by thread."""

    at: float
    parts: int
    processes: Dict[str, float]
    threads: Dict[str, float]


@contextmanager
def no_agents() -> Iterator[None]:
    """Raylets that begin meanwhile have `sleep` for agents; the ports that those would have told are told for them."""
    from ray import _raylet
    from ray._private import services

    begin = services.start_ray_process
    raylet: Any = _raylet  # whose types do not list all that it has
    ports = [getattr(raylet, name) for name in dir(raylet) if name.endswith("PORT_NAME") and "GCS" not in name]

    def alone(command: List[str], kind: str, *args: Any, **more: Any) -> Any:
        if kind == "raylet":
            options = dict(word[2:].partition("=")[::2] for word in command if word.startswith("--"))
            for port in ports:
                raylet.persist_port(options["session_dir"], options["node_id"], port, 1)
            command = [re.sub("(_agent_command)=.*", r"\1=sleep 86400", word) for word in command]
        return begin(command, kind, *args, **more)

    services.start_ray_process = alone
    try:
        yield
    finally:
        services.start_ray_process = begin


@contextmanager
def cluster(nodes: int, cpus: int, agents: int) -> Iterator[str]:
    """A cluster here: a head without CPUs and so many nodes; its address."""
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": 512 * MIB, "include_dashboard": False}
    simulated = Cluster(initialize_head=True, head_node_args=head)
    try:
        with nullcontext() if agents else no_agents():
            for _ in range(nodes):
                simulated.add_node(num_cpus=cpus, object_store_memory=80 * MIB, wait=False)
        simulated.wait_for_nodes(timeout=900)
        yield simulated.address
    finally:
        ray.shutdown()  # what was broken off half-way has it connect once more
        simulated.shutdown()


def memory(effort: Effort) -> Dict[str, Tuple[int, int]]:
    """Its processes, by kind: how many, and MiB that are theirs alone or their share (PSS)."""
    totals: Dict[str, Tuple[int, float]] = {}
    for key, (command, _) in list(effort.by_process.items()):
        try:
            rollup = Path("/proc", key.split()[0], "smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        kib = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
        count, mib = totals.get(kind(command), (0, 0.0))
        totals[kind(command)] = count + 1, mib + kib / 1024
    return {name: (count, round(mib)) for name, (count, mib) in sorted(totals.items())}


def kind(command: str) -> str:
    """Kind of a process, by its command line."""
    for name in KINDS:
        if re.search(rf"{re.escape(name)}(\0|$| )", command):
            return name
    if command.startswith("ray::MapWorker"):
        return "worker"
    if command.startswith("ray::"):
        return "Ray Data's own"
    return "driver" if "batch_ray" in command else "other"


def scheduler(
    nodes: int, cpus: int, actors: int, agents: int, seconds: Sequence[float], parts: int, until: int
) -> None:
    """Parts through Ray Data to actors that wait: parts a second, CPU of each process and of the driver's threads.

    `seconds` of a part, one load after the other in the same cluster; with `until` a load ends after so many records.
    """
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="rb") as folder:
        env = {
            **os.environ, MARK: mark, "RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal",
            "RAY_enable_worker_prestart": "0",
        }  # fmt: skip
        arguments = (nodes, cpus, actors, agents, list(seconds), parts, until, mark)
        code = f"from benchmarks import batch_ray; batch_ray._in_a_cluster{arguments}"
        subprocess.run([sys.executable, "-c", code], check=True, env=env)


def _in_a_cluster(
    nodes: int, cpus: int, actors: int, agents: int, seconds: List[float], count: int, until: int, mark: str
) -> None:
    from edgecsp import batch

    shards = made_up_parts(count)
    _ray._Actor = Idle  # type: ignore[misc,assignment]
    begun = time.monotonic()
    with Effort(mark, every_s=1.0) as effort, cluster(nodes, cpus, agents) as address:
        print_figures(what="cluster", nodes=nodes, up_s=time.monotonic() - begun, mib=memory(effort))
        with batch.executor(address, workers=actors) as crew:
            for each in seconds:
                _load(crew, shards, each, until or count, effort, {"nodes": nodes, "actors": actors, "part_s": each})


def _load(crew: Any, shards: List[Shard], part_s: float, until: int, effort: Effort, figures: Dict[str, Any]) -> None:
    before, begun, ended = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), 0.0
    threads = Threads()
    threads.start()
    moments: List[Moment] = []
    finished: Set[str] = set()
    with closing(crew.process(part_s, shards)) as records:

        def moment(parts: int) -> Moment:
            effort.look()
            spent: Dict[str, float] = {}
            for command, seconds in effort.by_process.values():
                spent[kind(command)] = spent.get(kind(command), 0.0) + seconds
            return Moment(time.monotonic(), parts, spent, threads.look())

        moments.append(moment(0))
        for number, said_of in enumerate(records, 1):
            # In the second half actors have started and the list is with Ray; the last parts find workers without any.
            if number in (1, until // 2, until - min(len(shards) // 10, until // 4)):
                moments.append(moment(number))
            if number == until // 2:
                mib = memory(effort)
            ended = time.monotonic()
            finished.add(said_of["name"])
            if number == until:
                break
    assert len(finished) == until  # each once
    threads.stop()
    first, half, last = moments[-3:]
    passed = last.parts - half.parts

    def a_part(what: str) -> Dict[str, int]:
        was, now = getattr(half, what), getattr(last, what)
        each = {name: round(1e6 * (seconds - was.get(name, 0.0)) / passed) for name, seconds in now.items()}
        return dict(sorted(((n, us) for n, us in each.items() if us), key=lambda pair: -pair[1])[:9])

    print_figures(
        what="scheduler" if until == len(shards) else "list", **figures, parts=len(shards), first_s=first.at - begun,
        whole_s=ended - begun,
        parts_a_s=passed / (last.at - half.at), wanted_a_s=figures["actors"] / part_s if part_s else None,
        driver_bytes_a_part=1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / len(shards),
        cpu_us_a_part=a_part("processes"), driver_threads_us_a_part=a_part("threads"), mib=mib,
    )  # fmt: skip
