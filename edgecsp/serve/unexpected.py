"""Unexpected exceptions: logged with traceback, counted, and survived by the threads.

A bug in one request, stream or sender must not stop the others, and must not be silent.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from typing import Callable, Dict, Iterable, Tuple
from typing import Counter as CounterOf

from ..system import text
from .address import redact_source

LOG = logging.getLogger(__name__)
REPEAT_S = 60.0  # the same traceback is logged in full at most once in this time
PLACES_MAX = 256
WHERE = ("request", "stream", "worker", "mqtt", "webhook", "server")

_lock = threading.Lock()
_counts: CounterOf[str] = Counter(dict.fromkeys(WHERE, 0))  # start at 0, so that the first one is an increase
_logged: Dict[Tuple[object, ...], float] = {}


def report(where: str, error: BaseException) -> str:
    """Log and count an exception; return the reference id in its log line.

    `where` is the component, one of `WHERE`. Credentials in the text are redacted.
    """
    reference = secrets.token_hex(4)
    with _lock:
        _counts[where] += 1
        is_new = _is_new(_place(where, error))
    lines = [f"unexpected error {reference} in {where}: {type(error).__name__}: {text.printable(error)[:500]}"]
    if is_new:
        lines += text.traceback_lines(error)
    LOG.error("%s", "\n".join(map(redact_source, lines)))
    return reference


def counts() -> Dict[str, int]:
    """Count the reported exceptions since the process began, by component."""
    with _lock:
        return dict(_counts)


def keep_running(where: str, work: Callable[[], None], stop: threading.Event, pause_s: float = 1.0) -> None:
    """Run a thread's work until it returns; if it raises, report the exception and restart it after a pause."""
    while True:
        try:
            work()
            return
        except BaseException as error:  # noqa: BLE001 - reported, and the thread goes on
            report(where, error)
        if stop.wait(pause_s):
            return


def start_thread(where: str, work: Callable[[], None], stop: threading.Event, name: str) -> threading.Thread:
    """Start a thread whose work is kept running; it does not keep the process alive."""
    thread = threading.Thread(target=keep_running, args=(where, work, stop), name=name, daemon=True)
    thread.start()
    return thread


def join_threads(threads: Iterable[threading.Thread], patience_s: float) -> None:
    """Wait for threads to end, `patience_s` seconds for all of them together."""
    late = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, late - time.monotonic()))


def _place(where: str, error: BaseException) -> Tuple[object, ...]:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return (where, type(error), last.tb_frame.f_code if last else None, last.tb_lineno if last else 0)


def _is_new(place: Tuple[object, ...]) -> bool:
    now = time.monotonic()
    if now - _logged.get(place, float("-inf")) < REPEAT_S:
        return False
    if len(_logged) >= PLACES_MAX:
        _logged.clear()
    _logged[place] = now
    return True
