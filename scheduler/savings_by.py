"""The uses of the ledger sorted by day, month, tenant, model or kind, each heap settled. Knows no clock, no store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from intensity_feeds.series import IntensitySeries
from scheduler.ledger import Account, EnergyUse, Subject, settle


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


def settled_by(by: By, uses: Iterable[EnergyUse], intensity: Mapping[str, IntensitySeries]) -> dict[str, Heap]:
    """Heaps by name in its order. Days and months are the calendar's in UTC, by the start of a use.

    What has no model, a job, is under the empty name.
    """
    heaps: dict[str, list[EnergyUse]] = {}
    for use in uses:
        heaps.setdefault(_NAMES[by](use), []).append(use)
    return {name: _heap(found, intensity) for name, found in sorted(heaps.items())}


def _heap(uses: list[EnergyUse], intensity: Mapping[str, IntensitySeries]) -> Heap:
    requests = [use for use in uses if use.subject is Subject.REQUEST]
    return Heap(
        account=settle(uses, intensity),
        requests=len(requests),
        prompt_tokens=sum(use.prompt_tokens for use in requests),
        output_tokens=sum(use.output_tokens for use in requests),
        request_kwh=sum(use.energy_kwh for use in requests),
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
