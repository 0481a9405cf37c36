"""Run shards on a Ray cluster. The only module that imports Ray.

Ray Data distributes the shards over a pool of actors, each with a session of its own; if an actor or its machine dies,
it is restarted and its shard is repeated. Only JSON is exchanged: shards out, records back. Images are not: a decoded
frame is hundreds of times its packets, so a shard is decoded where it is processed.
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
from ..system import cpu, install
from . import work
from .ledger import Record
from .shards import Item, Shard, shard_from_dict

LOG = logging.getLogger(__name__)
LOCAL, AUTO = "local", "auto"
OLDEST = (3, 10)  # the Python of Ray 2.55
LOCAL_INDEX_WORKERS = 4  # up to so many workers of one machine, indexing here is faster: 14-75 us a frame
BLOCKS = 50  # per worker, for smooth progress: a block costs the driver 8 ms and 15 kB
MANY = 10_000
TAIL = 20  # shards in sequence, beside which one more does not matter
CONNECT_S = 10
LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [IWE] ")  # a line of its C++
SAME, LONG = 60, 200  # characters of a message: to recognise a repetition, and to log at most


class Cluster:
    """A Ray cluster: one of our own on this machine ("local"), the one that is running ("auto"), or an address.

    `workers` sessions with `cpus` CPUs each (on a GPU, one GPU each); None for as many as fit. Ray's messages are
    logged, a line each. Raises `EngineUnavailable` and `UsageError`. `dashboard` is its address, "" for none.
    """

    def __init__(
        self, address: str, *, workers: Optional[int] = None, cpus: int = 1, gpu: bool = False,
    ) -> None:  # fmt: skip
        check_address(address)
        self.ray, self.dashboard = _connect(address)
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

    def index(self, out: str, items: Sequence[Item]) -> Iterator[Record]:
        """Index each video in a task of its own; on a small machine in this process, which is faster."""
        if self.machines == 1 and self.workers <= LOCAL_INDEX_WORKERS:
            yield from (work.index(out, item) for item in items)
            return
        payloads = [json.dumps([out, vars(item)]) for item in items]
        yield from self._results(payloads, lambda data: data.map(_index, num_cpus=1))

    def process(self, task: work.Task, parts: Sequence[Shard]) -> Iterator[Record]:
        """Process each shard on the next free actor."""
        from ray.data import ActorPoolStrategy

        size = min(self.workers, len(parts))
        pool = ActorPoolStrategy(
            min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=_shards_per_worker(parts, size)
        )
        resources: Dict[str, Any] = {"num_cpus": self.cpus, **({"num_gpus": 1} if self.gpu else {})}
        constructed = {"task": task, "threads": self.cpus}
        # Shards of unknown length first, so that the others need not wait for one at the end.
        longest = sorted(parts, key=lambda part: -(part.expected_frames or 1 << 40))
        payloads = [json.dumps(part.to_dict()) for part in longest]
        yield from self._results(
            payloads, lambda data: data.map(_Actor, fn_constructor_kwargs=constructed, compute=pool, **resources)
        )

    def _results(self, payloads: List[str], run: Any) -> Iterator[Record]:
        if not payloads:
            return
        from ray import data
        from ray.exceptions import RayError

        # A block is reported as a whole, and repeated when a machine dies, except shards that have a record already.
        # Neighbours go to different blocks, so that the longest shards run in parallel.
        blocks = min(len(payloads), max(MANY, BLOCKS * self.workers))
        dealt = [{"said": word} for at in range(blocks) for word in payloads[at::blocks]]
        rows = data.from_items(dealt, override_num_blocks=blocks)
        try:
            for row in run(rows).iter_rows():
                record = json.loads(row["said"])
                if "error" in record:
                    raise work.error_from_dict(record)
                yield record
        except RayError as error:
            raise EngineFailed(f"Ray gave up: {' '.join(str(error).split())[-400:]}") from error

    def close(self) -> None:
        """Disconnect from the cluster; a local one is shut down."""
        self.ray.shutdown()


def _shards_per_worker(parts: Sequence[Shard], workers: int) -> int:
    """How many shards to give a worker at a time.

    A worker waits 70 to 240 ms for its next shard, so a second one is queued; unless it could be stuck behind a shard
    that is long compared with the whole job, or of unknown length, while other workers are idle.
    """
    about = [part.expected_frames for part in parts]
    return 2 if all(about) and TAIL * workers * max(about) <= sum(about) else 1


def check_address(address: str) -> None:
    """Raise `UsageError` for an address that must not be used without a token."""
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray {address}: Ray's client has no Ray Data; run the command on the cluster (ray job submit), with "
            "--ray auto"
        )
    if address not in (LOCAL, AUTO) and not re.fullmatch(r".+:\d{1,5}", address):
        raise UsageError(f"--ray {address}: give local, auto, or the cluster's HOST:PORT, which ray start prints")
    if _is_local(address) or os.environ.get("RAY_AUTH_MODE") == "token":
        return
    raise UsageError(
        f"--ray {address}: whoever reaches a Ray cluster without a token runs code on all its machines. Start it with "
        "one (RAY_AUTH_MODE=token, ray get-auth-token --generate, the same on every machine) and set "
        "RAY_AUTH_MODE=token here"
    )


def _is_local(address: str) -> bool:
    if address == LOCAL:
        return True
    host = address.rpartition(":")[0].strip("[]")
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _connect(address: str) -> Tuple[Any, str]:
    """Connect to Ray; returns the package and the dashboard's address."""
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
        todo = f"it needs Python {OLDEST[0]}.{OLDEST[1]} or newer" if old else f"type: {install.command('ray')}"
        raise EngineUnavailable(f"--ray {address} needs Ray, not installed here ({error}); {todo}") from error
    _silence_ray_data(data.DataContext.get_current())
    asked_to_stop = signal.getsignal(signal.SIGTERM)
    try:
        if address != LOCAL:
            _check_reachable(address)
        with _suppress_log():
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


def _silence_ray_data(settings: Any) -> None:
    """Limit Ray Data's messages to those that a user can act on."""
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    for regretted in ("progress", "actor_autoscaler"):  # that we have bars, and a pool of one size
        logging.getLogger(f"ray.data._internal.{regretted}").setLevel(logging.ERROR)
    # A video in one piece may take hours, in which Ray Data sees nothing happen.
    quiet = {"enable_progress_bars": False, "print_on_execution_start": False, "execution_no_progress_timeout_s": -1}
    for name, value in quiet.items():
        if hasattr(settings, name):
            setattr(settings, name, value)


def _check_reachable(address: str) -> None:
    """Raise an `OSError` when nothing listens there: Ray itself would retry for minutes and log it."""
    from ray._private import services

    host, _, port = services.canonicalize_bootstrap_address(address).rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


@contextmanager
def _suppress_log() -> Iterator[None]:
    """Drop the log lines of Ray's C++ core, which ignores the level at startup; other stderr lines are logged."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written.read().decode("utf-8", "replace").splitlines():
                if not LOGGED.match(line):
                    LOG.warning("%s", line)


class _RayMessages:
    """Messages of the cluster (a worker died, a machine is lost): each logged once, in one line."""

    def __init__(self) -> None:
        self._logged: Set[str] = set()

    def __call__(self, data: Dict[str, Any], **_: Any) -> None:
        text = " ".join(" ".join(data["lines"]).split())
        if text[:SAME] not in self._logged:
            self._logged.add(text[:SAME])
            LOG.warning("Ray: %s", text if len(text) < LONG else text[:LONG] + " ...")


def _index(row: Dict[str, str]) -> Dict[str, str]:
    out, item = json.loads(row["said"])
    return {"said": json.dumps(_catch_error(lambda: work.index(out, Item(**item))))}


class _Actor:
    """A worker as a Ray actor: JSON in, JSON out."""

    def __init__(self, task: work.Task, threads: int) -> None:
        self._task, self._threads = task, threads
        self._worker: Optional[work.Worker] = None

    def __call__(self, row: Dict[str, str]) -> Dict[str, str]:
        return {"said": json.dumps(_catch_error(lambda: self._process(shard_from_dict(json.loads(row["said"])))))}

    def _process(self, part: Shard) -> Record:
        if self._worker is None:  # not in the constructor, whose errors Ray would only retry
            self._worker = work.Worker(self._task, self._threads)
        return self._worker.process(part)


def _catch_error(call: Any) -> Record:
    try:
        record: Record = call()
    except EdgecspError as error:
        return work.error_to_dict(error)
    return record
