"""Parse the JSON of a request, with its size bounded first.

A text of a few MiB may hold millions of empty lists: parsing takes 24 times its size in memory and holds the GIL, so
that no other thread runs. The cost is in the number of values, so they are counted before parsing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ..errors import HTTPRequestError

NESTS = 10_000  # lists, objects and keys
DIGITS = 4300  # of a whole number: int() is quadratic, and Python before 3.8.14 and 3.10.7 has no bound of its own


def parse(data: bytes, most: int, values: int = 0, hint: str = "") -> Any:
    """Parse JSON of at most `most` bytes, and of `values` values beside some thousand.

    Raises `HTTPRequestError` and `ValueError`.
    """
    if len(data) > most:
        raise HTTPRequestError(413, f"the JSON has {len(data)} bytes; the limit is {most}{hint}")
    nests = sum(data.count(mark) for mark in (b"[", b"{", b":"))
    if nests > NESTS:
        raise HTTPRequestError(413, f"the JSON has {nests} lists, objects and keys; the limit is {NESTS}")
    commas = data.count(b",")
    if commas > values + NESTS:
        raise HTTPRequestError(413, f"the JSON has {commas} values; the limit is {values + NESTS}")
    whole = None if hasattr(sys, "get_int_max_str_digits") else _whole
    try:
        return json.loads(data.decode("utf-8"), parse_int=whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number has more than {DIGITS} digits")
    return int(text)
