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

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scheduler.sliding_minute import Second, SlidingMinute


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
        found: float = getattr(self, _FIELD[what])
        return found

    def plus(self, other: Used) -> Used:
        """The sum of two parts of one tenant's month."""
        return _used(self.tenant, self.month, _summed(_costs_of(self), _costs_of(other)))


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
class Reservation:
    """What one request was let in with, until it has ended."""

    month: str
    tokens: int
    minute: SlidingMinute | None = None
    second: Second | None = None


_FIELD = {
    What.REQUESTS: "requests",
    What.TOKENS: "tokens",
    What.ENERGY_KWH: "energy_kwh",
    What.GCO2E: "emissions_gco2e",
    What.USD: "energy_usd",
}
_UNPRICED = "unpriced_kwh"
_COST_FIELDS = (*_FIELD.values(), _UNPRICED)


class Meter:
    """One tenant's use and limits. `now_s` is UTC and names the month; `steady_s` never jumps and times the minute."""

    def __init__(self, tenant: str, limits: Iterable[Limit] = ()) -> None:
        self.tenant = tenant
        self._minutely: tuple[tuple[Limit, SlidingMinute], ...] = ()
        self.limit(limits)
        # By the fields of `Used`. Plain sums: this is done several times for every request.
        self._used_costs = dict.fromkeys(_COST_FIELDS, 0.0)
        self._unwritten: dict[str, dict[str, float]] = {}
        self._month, self._month_from_s, self._month_to_s = "", 0.0, 0.0

    def limit(self, limits: Iterable[Limit]) -> None:
        """Hold it to these from now on; a limit of the minute that is new begins with an empty minute."""
        of_all, known = list(limits), dict(self._minutely)
        self._monthly = tuple(one for one in of_all if one.window is Window.MONTH)
        minutely = (one for one in of_all if one.window is Window.MINUTE)
        self._minutely = tuple((one, known.get(one) or SlidingMinute(one.most_cost)) for one in minutely)
        self._minute_of: Mapping[What, SlidingMinute] = {one.what: minute for one, minute in self._minutely}

    # -- deciding -----------------------------------------------------------------------------------------------------

    def admit(self, tokens: int, *, now_s: float, steady_s: float, is_paced: bool = False) -> Reservation | Refused:
        """Count one request of up to `tokens`, or say what is in its way.

        One that is paced by ourselves, such as the line of a batch, is held to the month only.
        """
        self._turn_to(now_s)
        if self._monthly or self._minutely:  # else nothing can be in its way, which is asked of every request
            refused = self._over_month(now_s, {What.REQUESTS: 1, What.TOKENS: tokens})
            if refused is None and not is_paced:
                refused = self._over_minute(steady_s, {What.REQUESTS: 1, What.TOKENS: tokens})
            if refused is not None:
                return refused
        for costs in self._tallies(self._month):
            costs["requests"] += 1
            costs["tokens"] += tokens
        reservation = Reservation(month=self._month, tokens=tokens)
        if self._minutely and not is_paced:
            self._add(What.REQUESTS, 1, steady_s)
            if (minute := self._minute_of.get(What.TOKENS)) is not None:
                reservation.minute, reservation.second = minute, minute.add(tokens, steady_s)
        return reservation

    def refusal(self, now_s: float, among: Collection[What]) -> Refused | None:
        """Why nothing more may begin this month, for work that is no request: jobs and whole batches."""
        return self._over_month(now_s, {}, among)

    def _over_month(
        self, now_s: float, asked: Mapping[What, int], among: Collection[What] = tuple(What)
    ) -> Refused | None:
        self._turn_to(now_s)
        for limit in self._monthly:
            if limit.what not in among:
                continue
            used_cost, asked_cost = self._used_costs[_FIELD[limit.what]], asked.get(limit.what, 0)
            if used_cost >= limit.most_cost or used_cost + asked_cost > limit.most_cost:
                is_never = asked_cost > limit.most_cost or limit.most_cost == 0
                return Refused(
                    limit=limit,
                    used_cost=used_cost,
                    asked_cost=asked_cost,
                    retry_after_s=None if is_never else self._month_to_s - now_s,
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
            for limit, minute in self._minutely
            if not minute.has_room(asked.get(limit.what, 0), steady_s)
        ]
        never = float("inf")
        return max(found, key=lambda one: never if one.retry_after_s is None else one.retry_after_s, default=None)

    # -- counting -----------------------------------------------------------------------------------------------------

    def settle(self, reservation: Reservation, tokens: int, *, steady_s: float) -> None:
        """A request has ended and used `tokens`. One whose end nobody saw keeps what it reserved: do not call this."""
        beyond = tokens - reservation.tokens
        for costs in self._tallies(reservation.month):
            costs["tokens"] += beyond
        if reservation.minute is not None and reservation.second is not None and beyond < 0:
            reservation.minute.give_back(reservation.second, -beyond)
        elif reservation.minute is not None and beyond > 0:
            reservation.minute.add(beyond, steady_s)

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
        self._turn_to(now_s)
        for costs in self._tallies(self._month):
            costs["energy_kwh"] += energy_kwh
            costs["emissions_gco2e"] += emissions_gco2e or 0.0
            costs["energy_usd"] += energy_usd or 0.0
            costs[_UNPRICED] += energy_kwh if emissions_gco2e is None else 0.0
        if not self._minutely:
            return
        for what, cost in ((What.ENERGY_KWH, energy_kwh), (What.GCO2E, emissions_gco2e), (What.USD, energy_usd)):
            self._add(what, cost or 0.0, steady_s)

    def _add(self, what: What, cost: float, steady_s: float) -> None:
        if (minute := self._minute_of.get(what)) is not None:
            minute.add(cost, steady_s)

    def _turn_to(self, now_s: float) -> None:
        """Begin the month of now with nothing used, unless it is under way."""
        if not self._month_from_s <= now_s < self._month_to_s:
            self._month, self._month_to_s = month_of(now_s), month_end_s(now_s)
            self._month_from_s = _month_begin(now_s).timestamp()
            self._used_costs = dict.fromkeys(_COST_FIELDS, 0.0)

    def _tallies(self, month: str) -> tuple[dict[str, float], ...]:
        """Where a month's costs are added: to what is to be stored, and while it lasts to what its limits are for."""
        unwritten_costs = self._unwritten.get(month)
        if unwritten_costs is None:
            unwritten_costs = self._unwritten[month] = dict.fromkeys(_COST_FIELDS, 0.0)
        return (unwritten_costs, self._used_costs) if month == self._month else (unwritten_costs,)

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def limits(self) -> tuple[Limit, ...]:
        return (*(one for one, _ in self._minutely), *self._monthly)

    def used(self, now_s: float) -> Used:
        """In the month under way."""
        self._turn_to(now_s)
        return _used(self.tenant, self._month, self._used_costs)

    @property
    def has_rates(self) -> bool:
        """Whether it has limits of the minute."""
        return bool(self._minutely)

    def rates(self, steady_s: float) -> list[Rate]:
        """The limits of the minute."""
        return [
            Rate(
                what=limit.what,
                most_cost=limit.most_cost,
                left_cost=minute.left_cost(steady_s),
                reset_s=minute.reset_s(steady_s),
            )
            for limit, minute in self._minutely
        ]

    def take_unwritten(self) -> list[Used]:
        """What was used since the last time, to be added to what is stored."""
        taken, self._unwritten = self._unwritten, {}
        return [_used(self.tenant, month, costs) for month, costs in taken.items()]

    def put_back(self, parts: Iterable[Used]) -> None:
        """They could not be stored."""
        for part in parts:
            self._unwritten[part.month] = _summed(self._unwritten.get(part.month, {}), _costs_of(part))

    def learn(self, stored: Used, *, now_s: float) -> None:
        """What is stored of a month, by whichever daemon; what is not yet stored of ours comes on top."""
        self._turn_to(now_s)
        if stored.month == self._month:
            self._used_costs = _summed(_costs_of(stored), self._unwritten.get(stored.month, {}))


def _costs_of(used: Used) -> dict[str, float]:
    return {name: getattr(used, name) for name in _COST_FIELDS}


def _summed(costs: Mapping[str, float], other_costs: Mapping[str, float]) -> dict[str, float]:
    return {name: costs.get(name, 0.0) + other_costs.get(name, 0.0) for name in _COST_FIELDS}


def _used(tenant: str, month: str, costs: Mapping[str, float]) -> Used:
    return Used(
        tenant=tenant,
        month=month,
        requests=round(costs.get("requests", 0.0)),
        tokens=round(costs.get("tokens", 0.0)),
        energy_kwh=costs.get("energy_kwh", 0.0),
        emissions_gco2e=costs.get("emissions_gco2e", 0.0),
        energy_usd=costs.get("energy_usd", 0.0),
        unpriced_kwh=costs.get(_UNPRICED, 0.0),
    )


def month_of(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m")


def month_end_s(now_s: float) -> float:
    """The first instant of the next month, in UTC."""
    return (_month_begin(now_s) + timedelta(days=32)).replace(day=1).timestamp()


def _month_begin(now_s: float) -> datetime:
    return datetime.fromtimestamp(now_s, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
