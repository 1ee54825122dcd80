"""Which GPUs a run may see. The engine counts GPUs of a region; where the settings name them, each goes to one run.

Decides by the order of the list only. A region without a list hands out nothing: its runs choose for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping


class TooFewDevicesError(Exception):
    """The engine saw room that the list does not have: a run that is still ending holds more than it is counted for."""

    def __init__(self, region: str, wanted: int, free: int) -> None:
        self.region, self.wanted, self.free = region, wanted, free
        super().__init__(f"{wanted} GPUs of region {region} are wanted and {free} are free")


class Devices:
    """The named GPUs of each region, and the run that holds each."""

    def __init__(self, by_region: Mapping[str, tuple[str, ...]]) -> None:
        self._by_region = {region: names for region, names in by_region.items() if names}
        self._holders: dict[str, str] = {}  # runs are local: a name is the same GPU whichever region lists it

    def take(self, run_id: str, region: str, count: int) -> tuple[str, ...] | None:
        """The GPUs of a new run; None where the region names none. Raises TooFewDevicesError."""
        if region not in self._by_region:
            return None
        free = [name for name in self._by_region[region] if name not in self._holders]
        if len(free) < count:
            raise TooFewDevicesError(region, count, len(free))
        return self.keep(run_id, tuple(free[:count]))

    def keep(self, run_id: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """A run found after a restart goes on with what it had."""
        self._holders.update(dict.fromkeys(names, run_id))
        return names

    def give_back(self, run_id: str) -> None:
        self._holders = {name: holder for name, holder in self._holders.items() if holder != run_id}
