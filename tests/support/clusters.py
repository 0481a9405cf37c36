"""Real Ray clusters of several nodes on this machine, each node with its own processes, which can be killed.

As a program: a cluster by `ray.cluster_utils.Cluster`. It prints its address and the pid of the last node's raylet,
then stays until its stdin is closed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from support.ports import await_port, free_port
from support.repository import TESTS

STORE = 100_000_000  # bytes a node keeps for objects: what crosses is small


class Cluster(NamedTuple):
    """A cluster: its address, and what kills its last node, all at once."""

    address: str
    kill: Callable[[], None]


@contextmanager
def started(env: Dict[str, str], *cpus: int) -> Iterator[Cluster]:
    """`ray start --head`, then `ray start --address` for each further node: so many CPUs each."""
    address = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        nodes: List[subprocess.Popen[bytes]] = []
        for number, count in enumerate(cpus):
            port = address.rpartition(":")[2]
            where = [f"--address={address}"] if number else ["--head", f"--port={port}", "--include-dashboard=false"]
            nodes.append(_node([*where, f"--num-cpus={count}", "--node-ip-address=127.0.0.1"], env))
            stack.callback(_die, nodes[-1])
            await_port(int(port), nodes[-1])
        _await_cpus(address, sum(cpus), env)
        yield Cluster(address, lambda: _die(nodes[-1]))


@contextmanager
def simulated(env: Dict[str, str], *cpus: int) -> Iterator[Cluster]:
    """One by `ray.cluster_utils.Cluster`; what is killed is the last node's raylet, by its pid."""
    command = [sys.executable, "-m", "support.clusters", *map(str, cpus)]
    child = {**env, "PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(TESTS)])}
    process = subprocess.Popen(
        command, env=child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        answer = json.loads(process.stdout.readline())
        yield Cluster(answer["address"], lambda: os.kill(answer["raylet"], signal.SIGKILL))
    finally:
        try:
            process.communicate("", timeout=20)  # Ray's own end, which leaves nothing behind
        finally:
            _die(process)


def actors(env: Dict[str, str]) -> List[int]:
    """The pids of the processes that hold a session, of the clusters with this environment."""
    ours = f"RAY_TMPDIR={env['RAY_TMPDIR']}".encode()
    pids = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if b"MapWorker" in (place / "cmdline").read_bytes() and ours in (place / "environ").read_bytes():
                pids.append(int(place.name))
    return pids


def _node(words: List[str], env: Dict[str, str]) -> subprocess.Popen[bytes]:
    ray = str(Path(sys.executable).with_name("ray"))
    base = [ray, "start", "--block", "--disable-usage-stats", f"--object-store-memory={STORE}"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*base, *words], env=env, stdout=quiet, stderr=quiet, start_new_session=True, preexec_fn=_end_with_us
    )


def _end_with_us() -> None:
    """Have the kernel send SIGTERM when the test is killed, which nobody else would do then."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _die(node: subprocess.Popen[Any]) -> None:
    """All its processes at once, as when its power goes."""
    if node.poll() is None:
        os.killpg(node.pid, signal.SIGKILL)
    node.wait(timeout=30)


def _await_cpus(address: str, count: int, env: Dict[str, str]) -> None:
    code = f"""
import ray, time
ray.init({address!r}, log_to_driver=False, logging_level="ERROR")
late = time.monotonic() + 60
while ray.cluster_resources().get("CPU", 0) < {count} and time.monotonic() < late:
    time.sleep(0.1)
print(ray.cluster_resources().get("CPU", 0))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert done.stdout.strip() == f"{count}.0", done.stdout + done.stderr


def main(cpus: List[int]) -> None:
    from ray import cluster_utils

    nodes = [{"num_cpus": count, "object_store_memory": STORE} for count in cpus]
    simulated = cluster_utils.Cluster(initialize_head=True, head_node_args={**nodes[0], "include_dashboard": False})
    last = [simulated.add_node(**more) for more in nodes[1:]][-1]
    raylet = last.all_processes["raylet"][0].process.pid
    print(json.dumps({"address": simulated.address, "raylet": raylet}), flush=True)
    sys.stdin.read()
    simulated.shutdown()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
