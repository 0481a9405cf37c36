"""Exceptions that nobody expected: logged with their traceback, counted, and no thread ends by one.

A bug in one request, stream or sender must not stop the others, and must not go unseen.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from typing import Callable, Dict, Tuple
from typing import Counter as CounterOf

from ..system import text
from .address import shown

LOG = logging.getLogger(__name__)
REPEAT_S = 60.0  # a traceback of the same place is written in full at most once in this time
PLACES_MAX = 256
WHERE = ("request", "stream", "worker", "mqtt", "webhook", "server")

_lock = threading.Lock()
_counts: CounterOf[str] = Counter(dict.fromkeys(WHERE, 0))  # from 0 on, or the first would be no increase
_logged: Dict[Tuple[object, ...], float] = {}


def report(where: str, error: BaseException) -> str:
    """Log and count an exception; the reference that its log line carries.

    `where` is what was at work, one of `WHERE`. Logins in the text are hidden.
    """
    reference = secrets.token_hex(4)
    with _lock:
        _counts[where] += 1
        is_new = _is_new(_place(where, error))
    lines = [f"unexpected error {reference} in {where}: {type(error).__name__}: {text.printable(error)[:500]}"]
    if is_new:
        lines += text.traceback_lines(error)
    LOG.error("%s", "\n".join(map(shown, lines)))
    return reference


def counts() -> Dict[str, int]:
    """How many were reported since the process began, by where."""
    with _lock:
        return dict(_counts)


def keep_running(where: str, work: Callable[[], None], stop: threading.Event, pause_s: float = 1.0) -> None:
    """Run a thread's work until it returns; when it raises, report that and run it again after a pause."""
    while True:
        try:
            work()
            return
        except BaseException as error:  # noqa: BLE001 - reported, and the thread goes on
            report(where, error)
        if stop.wait(pause_s):
            return


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
