"""What tenants have used beside their quotas: lets requests in or refuses them, counts what they used, and keeps it.

Minutes are kept in memory and begin anew with the daemon. Months are in the store: what was used is added to it every
few seconds, and what other daemons have added is read with it; a kill loses those seconds of counting. Grams and
dollars are priced on what is known of the grid when the use is booked. Decides nothing: quotas.py does.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from aiohttp import web

from intensity_feeds.prices import PriceSeries
from intensity_feeds.series import IntensitySeries
from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of
from scheduler.daemon.http import MORE_HEADERS, Policies, Scope
from scheduler.ledger import EnergyUse, emissions_gco2e
from scheduler.planning.whole_fleet.objective import Sites
from scheduler.quantities import format_instant
from scheduler.quotas import Limit, Meter, Rate, Refused, Reservation, Used, What, Window, month_end_s, month_of
from scheduler.store.contract import DiskFullError, Reads, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

POLICIES: Policies = {"GET /api/v1/quotas": Scope.READ}

FLUSH_S = 5.0  # real
# What work that is no request can be held to: what it is known to use.
_BY_ENERGY = frozenset({What.ENERGY_KWH, What.GCO2E, What.USD})
_SPELLED = {
    What.REQUESTS: "requests",
    What.TOKENS: "tokens",
    What.ENERGY_KWH: "kWh",
    What.GCO2E: "gCO2e",
    What.USD: "dollars of electricity",
}


class SetBy(StrEnum):
    """Where a tenant's limits stand."""

    SETTINGS = "settings"
    KEYS = "keys"  # whoever has a key for it, while the daemon ran


class Rates(Protocol):
    """What is known of grids and prices by now."""

    sites: Sites

    @property
    def known(self) -> Mapping[str, IntensitySeries]: ...


class Charge:
    """One request on its tenant's account, from its admission to its end."""

    __slots__ = ("_env", "_meter", "_reservation", "_tokens")

    def __init__(self, meter: Meter, reservation: Reservation, env: Env) -> None:
        self._meter, self._reservation, self._env = meter, reservation, env
        self._tokens: int | None = None

    def used(self, tokens: int) -> None:
        """A model has answered; of a cascade each one that was asked."""
        self._tokens = (self._tokens or 0) + tokens

    def ended(self, *, is_refused: bool) -> None:
        """It has been answered. An answer that broke off with nobody counting keeps what was reserved for it."""
        if self._tokens is not None or is_refused:
            self._meter.settle(self._reservation, self._tokens or 0, steady_s=self._env.monotonic_s())


class QuotaBook:
    """The meters of all tenants."""

    def __init__(self, env: Env, limits: Mapping[str, tuple[Limit, ...]], rates: Rates | None = None) -> None:
        self._env, self._rates = env, rates
        # A tenant that the settings name is held to them alone, whatever was set for it while the daemon ran.
        self._by_settings, self._set_here = limits, dict[str, tuple[Limit, ...]]()
        self._meters = {tenant: Meter(tenant, of_tenant) for tenant, of_tenant in limits.items()}

    def take_up(self, limits: Mapping[str, tuple[Limit, ...]]) -> None:
        """Other limits in the settings; what was used stays used."""
        self._by_settings = limits
        self._hold_to_limits()

    def set_here(self, limits: Mapping[str, tuple[Limit, ...]]) -> None:
        """All limits that were set while a daemon ran, as they are stored."""
        if limits != self._set_here:
            self._set_here = dict(limits)
            self._hold_to_limits()

    def set_one_here(self, tenant: str, limits: tuple[Limit, ...]) -> None:
        """Other limits of one tenant, stored a moment ago; with none it is not limited here."""
        others = {name: of_tenant for name, of_tenant in self._set_here.items() if name != tenant}
        self.set_here({**others, tenant: limits} if limits else others)

    def set_by(self, tenant: str) -> SetBy | None:
        """Where its limits stand; None where it has none."""
        if tenant in self._by_settings:
            return SetBy.SETTINGS
        return SetBy.KEYS if tenant in self._set_here else None

    def _hold_to_limits(self) -> None:
        limits = {**self._set_here, **self._by_settings}
        for tenant in {*self._meters, *limits}:
            self._meter(tenant).limit(limits.get(tenant, ()))

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/quotas", self.show, allow_head=False)

    # -- letting in ---------------------------------------------------------------------------------------------------

    def admit(self, request: web.Request, tenant: str, tokens: int, *, is_paced: bool) -> Charge:
        """Reserve for one request. Raises ApiError 429. Either answer says how the minute stands."""
        meter, now_s, steady_s = self._meter(tenant), self._env.now_s(), self._env.monotonic_s()
        answer = meter.admit(tokens, now_s=now_s, steady_s=steady_s, is_paced=is_paced)
        if meter.has_rates and (headers := _rate_headers(meter.rates(steady_s))):
            request[MORE_HEADERS] = headers
        if isinstance(answer, Refused):
            raise _refusal(tenant, answer)
        return Charge(meter, answer, self._env)

    def admit_line(self, tenant: str) -> Charge:
        """The line of a batch: held to the month, its tokens counted when it is answered. Raises ApiError 429."""
        meter = self._meter(tenant)
        answer = meter.admit(0, now_s=self._env.now_s(), steady_s=self._env.monotonic_s(), is_paced=True)
        if isinstance(answer, Refused):
            raise _refusal(tenant, answer)
        return Charge(meter, answer, self._env)

    def refuse_spent(self, tenant: str, *, is_batch: bool = False) -> None:
        """For a job, or a whole batch of requests, whose tenant has used its month up. Raises ApiError 429."""
        among = frozenset(What) if is_batch else _BY_ENERGY
        if (refused := self._meter(tenant).refusal(self._env.now_s(), among)) is not None:
            raise _refusal(tenant, refused)

    # -- counting -----------------------------------------------------------------------------------------------------

    def count(self, use: EnergyUse) -> None:
        """A use of energy has been booked, of a request or of a job."""
        known, sites = ({}, {}) if self._rates is None else (self._rates.known, self._rates.sites)
        site = sites.get(use.region)
        usd_per_kwh = None if site is None else _mean_usd_per_kwh(site.usd_per_kwh, use)
        facility_kwh = use.energy_kwh * use.pue
        self._meter(use.tenant).spend(
            energy_kwh=facility_kwh,
            emissions_gco2e=_known_gco2e(use, known.get(use.zone)),
            energy_usd=None if usd_per_kwh is None else facility_kwh * usd_per_kwh,
            now_s=self._env.now_s(),
            steady_s=self._env.monotonic_s(),
        )

    async def read(self, reads: Reads) -> None:
        """The month under way, and the limits that were set here or beside another daemon, as they are stored."""
        self.set_here(await self._env.in_thread(reads.quotas))
        for used in await self._env.in_thread(reads.used, month_of(self._env.now_s())):
            self._meter(used.tenant).learn(used, now_s=self._env.now_s())

    async def flush(self, writer: Writing) -> None:
        """Store what was used; what cannot be stored now is kept for the next time."""
        taken = [part for meter in self._meters.values() for part in meter.take_unwritten()]
        if not taken:
            return
        try:
            await writer.write(lambda store: store.add_used(taken))
        except (StoreBusyError, DiskFullError) as error:
            for part in taken:
                self._meter(part.tenant).put_back([part])
            log.warning("quotas not written", extra={"action": "quotas_kept", "why": str(error)})

    async def run(self, writer: Writing, reads: Reads) -> None:
        """Store and read until cancelled."""
        while True:
            await self._env.sleep_s(FLUSH_S * self._env.speed)
            await self.flush(writer)
            try:
                await self.read(reads)
            except StoreBusyError as error:  # ours is counted, the others' a little late
                log.warning("quotas not read", extra={"action": "quotas_unread", "why": str(error)})

    # -- showing ------------------------------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.Response:
        """What tenants have used this month, beside their limits; of the caller's own tenant where he has one."""
        now_s, caller = self._env.now_s(), caller_of(request)
        shown = [self.described(name, now_s) for name in sorted(self._meters) if caller.acts_for(name)]
        body = {"object": "list", "month": month_of(now_s), "ends": format_instant(month_end_s(now_s)), "data": shown}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    def described(self, tenant: str, now_s: float) -> dict[str, Any]:
        """One tenant's limits beside what it has used this month."""
        meter = self._meters.get(tenant) or Meter(tenant)  # a name that was only asked for is not kept
        used = meter.used(now_s)
        return {
            "tenant": meter.tenant,
            "set_by": self.set_by(tenant),
            "used": {what.value: used.cost(what) for what in What},
            "unpriced_kwh": used.unpriced_kwh,
            "limits": [
                {"what": one.what, "per": one.window, "most": one.most_cost, "left": _left_cost(one, used)}
                for one in meter.limits
            ],
        }

    def _meter(self, tenant: str) -> Meter:
        found = self._meters.get(tenant)
        if found is None:
            found = self._meters[tenant] = Meter(tenant)
        return found


def _left_cost(limit: Limit, used: Used) -> float | None:
    """Of a limit of the month; one of the minute is in the headers of each answer."""
    return max(0.0, limit.most_cost - used.cost(limit.what)) if limit.window is Window.MONTH else None


def _known_gco2e(use: EnergyUse, series: IntensitySeries | None) -> float | None:
    return emissions_gco2e(use.energy_kwh, use.pue, series, use.started_at_s, use.ended_at_s)


def _mean_usd_per_kwh(usd_per_kwh: PriceSeries | float | None, use: EnergyUse) -> float | None:
    if isinstance(usd_per_kwh, PriceSeries):
        return usd_per_kwh.mean_usd_per_kwh(use.started_at_s, use.ended_at_s)
    return usd_per_kwh


def _refusal(tenant: str, refused: Refused) -> ApiError:
    limit, spelled = refused.limit, _SPELLED[refused.limit.what]
    figures = f"limit {limit.most_cost:g}, used {refused.used_cost:g}, requested {refused.asked_cost:g}"
    told = f"Tenant {tenant!r} may use {limit.most_cost:g} {spelled} a {limit.window} ({figures})."
    if limit.window is Window.MONTH:
        return _used_up(told, refused.retry_after_s)
    if refused.retry_after_s is None:
        return _too_many(f"{told} This request alone is more.", limit.what, {"x-should-retry": "false"})
    after_s = math.ceil(refused.retry_after_s)
    return _too_many(f"{told} Try again in {after_s} s.", limit.what, {"Retry-After": str(after_s)})


def _used_up(told: str, retry_after_s: float | None) -> ApiError:
    # The official client would ask three times for what is not there before the month is over.
    headers = {"x-should-retry": "false"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    return ApiError(429, told, kind="insufficient_quota", code="insufficient_quota", more_headers=headers)


def _too_many(told: str, what: What, headers: Mapping[str, str]) -> ApiError:
    return ApiError(429, told, kind=what, code="rate_limit_exceeded", more_headers=headers)


def _rate_headers(rates: list[Rate]) -> dict[str, str]:
    """As OpenAI spells them; the other limits of the minute have no header there, and none here."""
    headers = {}
    for rate in rates:
        if rate.what in (What.REQUESTS, What.TOKENS):
            headers[f"x-ratelimit-limit-{rate.what}"] = f"{rate.most_cost:.0f}"
            headers[f"x-ratelimit-remaining-{rate.what}"] = f"{rate.left_cost:.0f}"
            headers[f"x-ratelimit-reset-{rate.what}"] = _spelled_s(rate.reset_s)
    return headers


def _spelled_s(duration_s: float) -> str:
    """`850ms`, `12s`, `1m0s`."""
    if 0 < duration_s < 1:
        return f"{math.ceil(duration_s * 1000)}ms"
    whole_s = math.ceil(duration_s)
    return f"{whole_s // 60}m{whole_s % 60}s" if whole_s >= 60 else f"{whole_s}s"
