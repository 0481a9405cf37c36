"""HTTP's connections: uvicorn's, with a clock for those that do not ask and a bound on how many they are.

uvicorn waits for a first request as long as the caller likes, and for the rest of a header that has begun. Somebody who
opens connections and says nothing would take every file descriptor of the process.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Optional, Type

from .body import Limits


def protocol(limits: Limits) -> Type[asyncio.Protocol]:
    """uvicorn's protocol for these limits, all its connections counted together."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    idle: OrderedDict[Any, None] = OrderedDict()

    class Bounded(H11Protocol):
        _late: Optional[asyncio.TimerHandle] = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._rest()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._asks():
                self._wake()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._asks():  # it may be the next one of several that came together
                self._rest()

        def connection_lost(self, exc: Optional[Exception]) -> None:
            self._wake()
            super().connection_lost(exc)

        def _asks(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _rest(self) -> None:
            self._wake()
            if self.transport.is_closing():
                return
            idle[self] = None
            self._late = self.loop.call_later(limits.header_s, self.transport.close)
            if len(idle) > limits.idle:
                oldest, _ = idle.popitem(last=False)
                oldest._wake()
                oldest.transport.close()

        def _wake(self) -> None:
            idle.pop(self, None)
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded
