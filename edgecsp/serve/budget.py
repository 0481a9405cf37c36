"""Memory held by clients at the same time: in total and for each address."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Callable, Dict, Optional

from ..errors import HTTPRequestError


class Budget:
    """Bytes of bodies in memory: at most `most` in total and `share` per address, beyond the first `free` of each."""

    def __init__(
        self, most: int, refusal: Callable[[], HTTPRequestError], *, share: Optional[int] = None, free: int = 0
    ) -> None:
        self._most, self._refusal, self._share, self._free = most, refusal, share, free
        self._all = 0
        self._of: Dict[str, int] = {}

    def change(self, address: str, before: int, after: int) -> None:
        """Change a body's size from `before` to `after` bytes; 0 when it is released. Raises `HTTPRequestError`."""
        more = max(after, self._free) - max(before, self._free) if self._free else after - before
        if not more:
            return
        if more > 0 and self._all + more > self._most:
            raise self._refusal()
        if self._share is not None:
            of = self._of.get(address, 0) + more
            if more > 0 and of > self._share:
                raise self._refusal()
            self._of[address] = of
            if not of:
                del self._of[address]
        self._all += more


@lru_cache(maxsize=1024)
def network(host: str) -> str:
    """Network that an address belongs to: an IPv4 address itself, or the /64 of one IPv6 subscriber."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
