"""What a tenant may use in a minute and in a month, and whether one request more is within it.

A minute slides: in no span of 60 s are more requests, or more reserved tokens, let in than the limit says. What was
used is kept by the second and counts until the last instant of its second is a minute old, so a place is given back up
to a second late and never early. A month is the calendar's, in UTC.

A request and the tokens it may at most cost are counted when it is let in; what it did not need is given back when it
has ended, what it used beyond (its caller set no limit) is added then. Energy, grams and dollars are known at the end
only: nobody is let in once they have reached their limit, and what was under way by then is what may lie above it.

Amounts are `cost`s in the unit of what is limited. Knows no clock, no store and no price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import fsum

MINUTE_S = 60.0
_BUCKET_S = 1.0


class What(StrEnum):
    """What is limited; energy is the facility's."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    ENERGY_KWH = "energy_kwh"
    GCO2E = "gco2e"
    USD = "usd"


class Window(StrEnum):
    MINUTE = "minute"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    what: What
    window: Window
    most_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a tenant has used in a month such as 2026-01; `unpriced_kwh` is in neither the grams nor the dollars."""

    tenant: str
    month: str
    requests: int = 0
    tokens: int = 0
    energy_kwh: float = 0.0
    emissions_gco2e: float = 0.0
    energy_usd: float = 0.0
    unpriced_kwh: float = 0.0

    def cost(self, what: What) -> float:
        match what:
            case What.REQUESTS:
                return self.requests
            case What.TOKENS:
                return self.tokens
            case What.ENERGY_KWH:
                return self.energy_kwh
            case What.GCO2E:
                return self.emissions_gco2e
            case What.USD:
                return self.energy_usd

    def plus(self, other: Used) -> Used:
        """The sum of two parts of one tenant's month."""
        return Used(
            tenant=self.tenant,
            month=self.month,
            requests=self.requests + other.requests,
            tokens=self.tokens + other.tokens,
            energy_kwh=self.energy_kwh + other.energy_kwh,
            emissions_gco2e=self.emissions_gco2e + other.emissions_gco2e,
            energy_usd=self.energy_usd + other.energy_usd,
            unpriced_kwh=self.unpriced_kwh + other.unpriced_kwh,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The limit that is in the way, and when it no longer will be; None: it never lets this through."""

    limit: Limit
    used_cost: float
    asked_cost: float
    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit of the minute as it stands: what is left, and when all of it will be again."""

    what: What
    most_cost: float
    left_cost: float
    reset_s: float


@dataclass(slots=True, kw_only=True)
class _Second:
    begin_s: float
    cost: float


class SlidingMinute:
    """What was used in the last 60 s of a clock that never jumps."""

    __slots__ = ("_most_cost", "_seconds")

    def __init__(self, most_cost: float) -> None:
        self._most_cost = most_cost
        self._seconds: deque[_Second] = deque()

    def used_cost(self, steady_s: float) -> float:
        while self._seconds and _ends_s(self._seconds[0]) <= steady_s:
            self._seconds.popleft()
        return fsum(one.cost for one in self._seconds)

    def has_room(self, cost: float, steady_s: float) -> bool:
        used_cost = self.used_cost(steady_s)
        return used_cost < self._most_cost and used_cost + cost <= self._most_cost

    def add(self, cost: float, steady_s: float) -> _Second:
        begin_s = steady_s - steady_s % _BUCKET_S
        if not self._seconds or self._seconds[-1].begin_s != begin_s:
            self._seconds.append(_Second(begin_s=begin_s, cost=0.0))
        self._seconds[-1].cost += cost
        return self._seconds[-1]

    def free_in_s(self, cost: float, steady_s: float) -> float | None:
        """Until there is room for `cost`, if nothing else comes; None: there never will be."""
        left_cost = self.used_cost(steady_s)
        for one in self._seconds:
            left_cost -= one.cost
            if left_cost < self._most_cost and left_cost + cost <= self._most_cost:
                return _ends_s(one) - steady_s
        return None

    def rate(self, what: What, steady_s: float) -> Rate:
        left_cost = max(0.0, self._most_cost - self.used_cost(steady_s))
        reset_s = _ends_s(self._seconds[-1]) - steady_s if self._seconds else 0.0
        return Rate(what=what, most_cost=self._most_cost, left_cost=left_cost, reset_s=reset_s)


def _ends_s(second: _Second) -> float:
    return second.begin_s + _BUCKET_S + MINUTE_S


@dataclass(slots=True, kw_only=True)
class Reservation:
    """What one request was let in with, until it has ended."""

    month: str
    tokens: int
    second: _Second | None = None


class Meter:
    """One tenant's use and limits. `now_s` is UTC and names the month; `steady_s` never jumps and times the minute."""

    def __init__(self, tenant: str, limits: Iterable[Limit] = ()) -> None:
        self.tenant = tenant
        self._monthly = tuple(one for one in limits if one.window is Window.MONTH)
        minutely = [one for one in limits if one.window is Window.MINUTE]
        self._minutely: Mapping[Limit, SlidingMinute] = {one: SlidingMinute(one.most_cost) for one in minutely}
        self._used = Used(tenant=tenant, month="")
        self._unwritten: dict[str, Used] = {}

    # -- deciding -----------------------------------------------------------------------------------------------------

    def admit(self, tokens: int, *, now_s: float, steady_s: float, is_paced: bool = False) -> Reservation | Refused:
        """Count one request of up to `tokens`, or say what is in its way.

        One that is paced by ourselves, such as the line of a batch, is held to the month only.
        """
        refused = self._over_month(now_s, {What.REQUESTS: 1, What.TOKENS: tokens})
        if refused is None and not is_paced:
            refused = self._over_minute(steady_s, {What.REQUESTS: 1, What.TOKENS: tokens})
        if refused is not None:
            return refused
        self._count(now_s, requests=1, tokens=tokens)
        reservation = Reservation(month=month_of(now_s), tokens=tokens)
        if not is_paced:
            self._add(What.REQUESTS, 1, steady_s)
            reservation.second = self._add(What.TOKENS, tokens, steady_s)
        return reservation

    def refusal(self, now_s: float, among: Collection[What]) -> Refused | None:
        """Why nothing more may begin this month, for work that is no request: jobs and whole batches."""
        return self._over_month(now_s, {}, among)

    def _over_month(
        self, now_s: float, asked: Mapping[What, int], among: Collection[What] = tuple(What)
    ) -> Refused | None:
        used = self.used(now_s)
        for limit in self._monthly:
            if limit.what not in among:
                continue
            used_cost, asked_cost = used.cost(limit.what), asked.get(limit.what, 0)
            if used_cost >= limit.most_cost or used_cost + asked_cost > limit.most_cost:
                is_never = asked_cost > limit.most_cost or limit.most_cost == 0
                return Refused(
                    limit=limit,
                    used_cost=used_cost,
                    asked_cost=asked_cost,
                    retry_after_s=None if is_never else month_end_s(now_s) - now_s,
                )
        return None

    def _over_minute(self, steady_s: float, asked: Mapping[What, int]) -> Refused | None:
        """The limit that is in the way for longest."""
        found = [
            Refused(
                limit=limit,
                used_cost=minute.used_cost(steady_s),
                asked_cost=asked.get(limit.what, 0),
                retry_after_s=minute.free_in_s(asked.get(limit.what, 0), steady_s),
            )
            for limit, minute in self._minutely.items()
            if not minute.has_room(asked.get(limit.what, 0), steady_s)
        ]
        never = float("inf")
        return max(found, key=lambda one: never if one.retry_after_s is None else one.retry_after_s, default=None)

    # -- counting -----------------------------------------------------------------------------------------------------

    def settle(self, reservation: Reservation, tokens: int, *, steady_s: float) -> None:
        """A request has ended and used `tokens`. One whose end nobody saw keeps what it reserved: do not call this."""
        beyond = tokens - reservation.tokens
        self._count_in(reservation.month, tokens=beyond)
        if reservation.second is not None:
            if beyond < 0:
                reservation.second.cost += beyond
            else:
                self._add(What.TOKENS, beyond, steady_s)

    def spend(
        self,
        *,
        energy_kwh: float,
        emissions_gco2e: float | None,
        energy_usd: float | None,
        now_s: float,
        steady_s: float,
    ) -> None:
        """Energy of the facility that the tenant's requests or jobs have used; None where nobody knows the rate."""
        is_priced = emissions_gco2e is not None
        self._count(
            now_s,
            energy_kwh=energy_kwh,
            emissions_gco2e=emissions_gco2e or 0.0,
            energy_usd=energy_usd or 0.0,
            unpriced_kwh=0.0 if is_priced else energy_kwh,
        )
        for what, cost in ((What.ENERGY_KWH, energy_kwh), (What.GCO2E, emissions_gco2e), (What.USD, energy_usd)):
            self._add(what, cost or 0.0, steady_s)

    def _add(self, what: What, cost: float, steady_s: float) -> _Second | None:
        second = None
        for limit, minute in self._minutely.items():
            if limit.what is what:
                second = minute.add(cost, steady_s)
        return second

    def _count(self, now_s: float, **amounts: float) -> None:
        self._count_in(month_of(now_s), **amounts)

    def _count_in(self, month: str, **amounts: float) -> None:
        part = Used(tenant=self.tenant, month=month, **amounts)  # type: ignore[arg-type]  # counts are whole
        self._unwritten[month] = self._unwritten.get(month, Used(tenant=self.tenant, month=month)).plus(part)
        if month > self._used.month:
            self._used = Used(tenant=self.tenant, month=month)
        if month == self._used.month:
            self._used = self._used.plus(part)

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def limits(self) -> tuple[Limit, ...]:
        return (*self._minutely, *self._monthly)

    def used(self, now_s: float) -> Used:
        """In the month under way."""
        month = month_of(now_s)
        return self._used if self._used.month == month else Used(tenant=self.tenant, month=month)

    def rates(self, steady_s: float) -> list[Rate]:
        """The limits of the minute."""
        return [minute.rate(limit.what, steady_s) for limit, minute in self._minutely.items()]

    def take_unwritten(self) -> list[Used]:
        """What was used since the last time, to be added to what is stored."""
        taken, self._unwritten = self._unwritten, {}
        return list(taken.values())

    def put_back(self, parts: Iterable[Used]) -> None:
        """They could not be stored."""
        for part in parts:
            self._unwritten[part.month] = self._unwritten.get(
                part.month, Used(tenant=self.tenant, month=part.month)
            ).plus(part)

    def learn(self, stored: Used) -> None:
        """What is stored of a month, by whichever daemon; what is not yet stored of ours comes on top."""
        ours = self._unwritten.get(stored.month)
        if stored.month >= self._used.month:
            self._used = stored if ours is None else stored.plus(ours)


def month_of(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m")


def month_end_s(now_s: float) -> float:
    """The first instant of the next month, in UTC."""
    begin = datetime.fromtimestamp(now_s, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (begin + timedelta(days=32)).replace(day=1).timestamp()
