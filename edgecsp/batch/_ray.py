"""Ray: a cluster's machines as a crew. The one file that knows it.

Ray Data spreads the parts over a pool of actors, each with a session of its own, and gives an actor that died, or
whose machine did, another life and its part again. What crosses is JSON: parts out, records back. Pictures do not:
a decoded frame is hundreds of times its packets, so a part is decoded where it is detected.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from ..errors import EdgecspError, EngineFailed, EngineUnavailable, UsageError
from ..system import cpu
from . import work
from .ledger import Record
from .shards import Item, Shard, of_json
from .storage import INSTALL

LOG = logging.getLogger(__name__)
LOCAL, AUTO = "local", "auto"
OLDEST = (3, 10)  # the Python of Ray 2.55
FEW = 4  # workers of one machine whose videos are indexed sooner here: 14-75 us a frame, where decoding takes 500-4000
BLOCKS = 50  # a worker, or so many in all that progress is fine: a block costs the driver 8 ms and 15 kB
MANY = 10_000
TAIL = 20  # parts one after the other in which one more is nothing
CONNECT_S = 10
LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [IWE] ")  # a line of its C++
SAME, LONG = 60, 200  # characters of a message: by which it is known again, and that are told


class Cluster:
    """A Ray cluster: one of our own on this machine ("local"), the one that is running ("auto"), or an address.

    `workers` sessions with `cpus` CPUs each (on a GPU, one GPU each); None for as many as there is room for. What Ray
    says is logged, a line each. Raises `EngineUnavailable` and `UsageError`. `dashboard` is its address, "" for none.
    """

    def __init__(
        self, address: str, *, workers: Optional[int] = None, cpus: int = 1, gpu: bool = False,
    ) -> None:  # fmt: skip
        check_address(address)
        self.ray, self.dashboard = _begun(address)
        self.cpus, self.gpu = cpus, gpu
        room = self.ray.cluster_resources()
        fits = int(room.get("CPU", 0)) // cpus
        if gpu:
            fits = min(fits, int(room.get("GPU", 0)))
        if not fits:
            self.close()
            raise EngineUnavailable(
                f"the Ray cluster at {address!r} has {room.get('CPU', 0):g} CPUs and {room.get('GPU', 0):g} GPUs; a "
                f"worker wants {cpus} CPUs" + " and a GPU" * gpu
            )
        self.workers = min(workers or fits, fits)
        self.machines = sum(1 for node in self.ray.nodes() if node["Alive"])

    def cut(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """Each video indexed by a task of its own; on a small machine by this process, before a worker had started."""
        if self.machines == 1 and self.workers <= FEW:
            yield from (work.cut(out, item) for item in items)
            return
        given = [json.dumps([out, vars(item)]) for item in items]
        yield from self._results(given, lambda data: data.map(_cut, num_cpus=1))

    def do(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """Each part by the next actor that is free."""
        from ray.data import ActorPoolStrategy

        size = min(self.workers, len(parts))
        pool = ActorPoolStrategy(
            min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=_at_worker(parts, size)
        )
        resources: Dict[str, Any] = {"num_cpus": self.cpus, **({"num_gpus": 1} if self.gpu else {})}
        constructed = {"task": task, "threads": self.cpus}
        # Those of unknown length first: one that begins last would have the others wait for it.
        longest = sorted(parts, key=lambda part: -(part.about or 1 << 40))
        given = [json.dumps(part.as_json()) for part in longest]
        yield from self._results(
            given, lambda data: data.map(_Actor, fn_constructor_kwargs=constructed, compute=pool, **resources)
        )

    def _results(self, given: List[str], mapped: Any) -> Iterator[Record]:
        if not given:
            return
        from ray import data
        from ray.exceptions import RayError

        # A block is what is told at once, and what is done again when a machine dies: of its parts those that have no
        # record yet. Neighbours go to different blocks: the longest are side by side.
        blocks = min(len(given), max(MANY, BLOCKS * self.workers))
        dealt = [{"said": word} for at in range(blocks) for word in given[at::blocks]]
        rows = data.from_items(dealt, override_num_blocks=blocks)
        try:
            for row in mapped(rows).iter_rows():
                record = json.loads(row["said"])
                if "error" in record:
                    raise work.raised(record)
                yield record
        except RayError as error:
            raise EngineFailed(f"Ray gave up: {' '.join(str(error).split())[-400:]}") from error

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        self.ray.shutdown()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _at_worker(parts: Sequence[Shard], workers: int) -> int:
    """How many parts a worker has, with the one it does.

    From its answer to its next part 70 to 240 ms pass, so that the next is there already, unless it could wait behind a
    part that is long beside the whole job, or that nobody knows the length of, while others have nothing to do.
    """
    about = [part.about for part in parts]
    return 2 if all(about) and TAIL * workers * max(about) <= sum(about) else 1


def check_address(address: str) -> None:
    """Raises `UsageError` for an address that is not to be spoken to without a token."""
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray {address}: Ray's client has no Ray Data; run the command on the cluster (ray job submit), with "
            "--ray auto"
        )
    if address not in (LOCAL, AUTO) and not re.fullmatch(r".+:\d{1,5}", address):
        raise UsageError(f"--ray {address}: give local, auto, or the cluster's HOST:PORT; ray start says it")
    if _is_here(address) or os.environ.get("RAY_AUTH_MODE") == "token":
        return
    raise UsageError(
        f"--ray {address}: whoever reaches a Ray cluster without a token runs code on all its machines. Start it with "
        "one (RAY_AUTH_MODE=token, ray get-auth-token --generate, the same on every machine) and set "
        "RAY_AUTH_MODE=token here"
    )


def _is_here(address: str) -> bool:
    if address == LOCAL:
        return True
    host = address.rpartition(":")[0].strip("[]")
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _begun(address: str) -> Tuple[Any, str]:
    """The package, connected, and the dashboard's address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray asks whether it may report home
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors are raised; what it writes beside them is for Ray
    own: Dict[str, Any] = {}
    if address == LOCAL:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        # Else workers are at 15, and on a machine that is all theirs give way to Ray's own processes and everybody's.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # What crosses is small; Ray would take a third of the memory for it.
        own = {"num_cpus": cpu.threads(), "object_store_memory": 256 << 20, "dashboard_host": "127.0.0.1"}
    else:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # of 40 s each; it would try 20 times
    try:
        import ray
        from ray import data
    except ImportError as error:
        old = sys.version_info < OLDEST
        todo = f"it wants Python {OLDEST[0]}.{OLDEST[1]} or newer" if old else f"type: {INSTALL}"
        raise EngineUnavailable(f"--ray {address} needs Ray, not installed here ({error}); {todo}") from error
    _quieten(data.DataContext.get_current())
    asked_to_stop = signal.getsignal(signal.SIGTERM)
    try:
        if address != LOCAL:
            _answers(address)
        with _without_log():
            context = ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise EngineUnavailable(
            f"no Ray cluster answers at {address!r} ({' '.join(str(error).split())[:300]}). Start one: "
            "ray start --head, or take --ray local"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, asked_to_stop)  # Ray puts its own there, which exits with code 15
    with suppress(AttributeError):  # or it writes them, with pages of a raylet's log, where our JSON goes
        ray._private.worker.print_to_stdstream = _RayMessages()
    url = getattr(context, "dashboard_url", "")
    return ray, f"http://{url}" if url else ""


def _quieten(settings: Any) -> None:
    """Have Ray Data say what a user could act on, and nothing else."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for regretted in ("progress", "actor_autoscaler"):  # that we have bars, and a pool of one size
        logging.getLogger(f"ray.data._internal.{regretted}").setLevel(logging.ERROR)
    # A video in one piece may take hours, in which Ray Data sees nothing happen.
    quiet = {"enable_progress_bars": False, "print_on_execution_start": False, "execution_no_progress_timeout_s": -1}
    for name, value in quiet.items():
        if hasattr(settings, name):
            setattr(settings, name, value)


def _answers(address: str) -> None:
    """Raises an `OSError` when nobody listens there: Ray would try for minutes, and write that it does."""
    from ray._private import services

    host, _, port = services.canonicalize_bootstrap_address(address).rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


@contextmanager
def _without_log() -> Iterator[None]:
    """Drop what Ray's C++ logs meanwhile, which at its begin ignores the level; what else is on stderr is logged."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written.read().decode("utf-8", "replace").splitlines():
                if not LOGGED.match(line):
                    LOG.warning("%s", line)


class _RayMessages:
    """What a cluster tells all its programs (a worker died, a machine is gone): each once, in a line."""

    def __init__(self) -> None:
        self._said: Set[str] = set()

    def __call__(self, data: Dict[str, Any], **_: Any) -> None:
        text = " ".join(" ".join(data["lines"]).split())
        if text[:SAME] not in self._said:
            self._said.add(text[:SAME])
            LOG.warning("Ray: %s", text if len(text) < LONG else text[:LONG] + " ...")


def _cut(row: Dict[str, str]) -> Dict[str, str]:
    out, item = json.loads(row["said"])
    return {"said": json.dumps(_told(lambda: work.cut(out, Item(**item))))}


class _Actor:
    """A worker behind Ray's interface: JSON in, JSON out."""

    def __init__(self, task: work.Task, threads: int) -> None:
        self._task, self._threads = task, threads
        self._worker: Optional[work.Worker] = None

    def __call__(self, row: Dict[str, str]) -> Dict[str, str]:
        return {"said": json.dumps(_told(lambda: self._done(of_json(json.loads(row["said"])))))}

    def _done(self, part: Shard) -> Record:
        if self._worker is None:  # here and not before: its error is to be told, and Ray would only begin again
            self._worker = work.Worker(self._task, self._threads)
        return self._worker.do(part)


def _told(call: Any) -> Record:
    try:
        record: Record = call()
    except EdgecspError as error:
        return work.told(error)
    return record
