"""What callers hold at the same time, counted: of all together, and of each address."""

from __future__ import annotations

import ipaddress
from collections import Counter
from functools import lru_cache
from typing import Callable
from typing import Counter as CounterOf

from ..errors import Refused


class Budget:
    """Bytes of bodies that are held: at most `most` of all, `share` of an address, beyond the first `free` of each."""

    def __init__(self, most: int, share: int, free: int, refusal: Callable[[], Refused]) -> None:
        self._most, self._share, self._free, self._refusal = most, share, free, refusal
        self._all = 0
        self._of: CounterOf[str] = Counter()

    def change(self, address: str, before: int, after: int) -> None:
        """A body of so many bytes has so many now; 0 when it is gone. Raises `Refused`."""
        more = max(0, after - self._free) - max(0, before - self._free)
        if more > 0 and (self._all + more > self._most or self._of[address] + more > self._share):
            raise self._refusal()
        self._all += more
        self._of[address] += more
        if not self._of[address]:
            del self._of[address]


@lru_cache(maxsize=1024)
def network(host: str) -> str:
    """Whose an address is: an IPv4 address, or the network of 2^64 addresses that one IPv6 subscriber has."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
