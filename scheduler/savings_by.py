"""The uses of the ledger sorted by day, month, tenant, model or kind, each heap settled. Knows no clock, no store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from intensity_feeds.series import IntensitySeries
from scheduler.ledger import Account, EnergyUse, Settlement, Subject


class By(StrEnum):
    DAY = "day"
    MONTH = "month"
    TENANT = "tenant"
    MODEL = "model"
    KIND = "kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """The account of some uses; tokens and their energy are those of requests."""

    account: Account
    requests: int
    prompt_tokens: int
    output_tokens: int
    request_kwh: float


class Sorting:
    """Heaps by name in its order, of uses that come a page at a time: what is kept of them are sums.

    Days and months are the calendar's in UTC, by the start of a use. What has no model, a job, is under the empty name.
    """

    def __init__(self, by: By, intensity: Mapping[str, IntensitySeries]) -> None:
        self._name_of, self._intensity = _NAMES[by], intensity
        self._heaps: dict[str, _Growing] = {}

    def add(self, uses: Iterable[EnergyUse]) -> None:
        for use in uses:
            name = self._name_of(use)
            heap = self._heaps.get(name)
            if heap is None:
                heap = self._heaps[name] = _Growing(settlement=Settlement(self._intensity))
            heap.add(use)

    def heaps(self) -> dict[str, Heap]:
        return {name: heap.whole() for name, heap in sorted(self._heaps.items())}


@dataclass(slots=True, kw_only=True)
class _Growing:
    settlement: Settlement
    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    request_kwh: float = 0.0

    def add(self, use: EnergyUse) -> None:
        self.settlement.add((use,))
        if use.subject is Subject.REQUEST:
            self.requests += 1
            self.prompt_tokens += use.prompt_tokens
            self.output_tokens += use.output_tokens
            self.request_kwh += use.energy_kwh

    def whole(self) -> Heap:
        return Heap(
            account=self.settlement.account(),
            requests=self.requests,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            request_kwh=self.request_kwh,
        )


def _day(use: EnergyUse) -> str:
    return datetime.fromtimestamp(use.started_at_s, UTC).date().isoformat()


_NAMES: Mapping[By, Callable[[EnergyUse], str]] = {
    By.DAY: _day,
    By.MONTH: lambda use: _day(use)[:7],
    By.TENANT: lambda use: use.tenant,
    By.MODEL: lambda use: use.model,
    By.KIND: lambda use: use.category,
}
