"""Reads the file of prices again when it has changed: day-ahead prices come once a day. Decides nothing.

A file that cannot be read leaves what was known; what that does not reach is not known, and no work waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from intensity_feeds.price_trace import read_prices
from intensity_feeds.prices import PriceSeries
from intensity_feeds.trace_rows import TraceError
from scheduler.daemon.env import Env
from scheduler.objective_settings import price_zones
from scheduler.region_settings import RegionSettings

log = logging.getLogger(__name__)

Prices = Mapping[str, PriceSeries]
# When a file was written, and how long it is.
_Mark = tuple[int, int]


class PriceFile:
    """The prices of one file, `known` as last read."""

    def __init__(self, env: Env, trace: str, regions: Sequence[RegionSettings]) -> None:
        self._env, self._trace, self._zones = env, trace, price_zones(regions)
        self._mark: _Mark | None = None
        self.known: Prices = {}

    def is_of(self, trace: str, regions: Sequence[RegionSettings]) -> bool:
        """Whether this is the file that such settings ask for, and what they ask it for."""
        return (trace, price_zones(regions)) == (self._trace, self._zones)

    async def first(self) -> Prices:
        """Raises TraceError: a daemon that cannot start with its prices says so."""
        if self._trace:
            self.known = await self._env.in_thread(self._read)
        return self.known

    async def refresh(self, on_change: Callable[[Prices], None]) -> None:
        """Read it again if it has changed since the last time, and tell `on_change` what it says now."""
        if not self._trace:
            return
        try:
            if await self._env.in_thread(self._look) == self._mark:
                return
            prices = self.known = await self._env.in_thread(self._read)
        except (TraceError, OSError) as error:
            log.warning("prices not read", extra={"action": "prices_kept", "why": str(error)})
            return
        log.info("prices changed", extra={"action": "prices_update", "zones": ", ".join(sorted(prices))})
        on_change(prices)

    def _look(self) -> _Mark:
        found = Path(self._trace).expanduser().stat()
        return found.st_mtime_ns, found.st_size

    def _read(self) -> Prices:
        path = Path(self._trace).expanduser()
        self._mark = self._look() if path.exists() else None
        return read_prices(path, self._zones)
