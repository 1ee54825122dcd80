"""`GET /api/v1/status` and `/api/v1/intensity/past`: what the status page needs beside the rest of the API.

The status is the daemon at a glance: its clock, what keeps it from being ready, requests, workers, jobs by state, and
the account. Both are open to anyone who may read, and cheap to poll: what is costly is kept for seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from intensity_feeds.series import IntensitySeries, SeriesError
from scheduler.daemon.accounts import Accounts
from scheduler.daemon.dashboard.kept import Kept
from scheduler.daemon.dashboard.worker_meters import describe_metering
from scheduler.daemon.descriptions import describe_account, known_or_none
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of
from scheduler.daemon.http import Policies, Scope, json_answer
from scheduler.daemon.poller import Poller
from scheduler.daemon.workers import Worker
from scheduler.ledger import realised_then_expected
from scheduler.quantities import format_instant
from scheduler.store.contract import Reads

POLICIES: Policies = {"GET /api/v1/status": Scope.READ, "GET /api/v1/intensity/past": Scope.READ}

Json = dict[str, Any]

ACCOUNT_OF_S = 30 * 86_400.0
PAST_S = 86_400.0
# A page asks every two seconds; of these two questions each reads many rows, and the second may call a feed.
_ACCOUNT_FRESH_S = 1.0
_PAST_FRESH_S = 1.5


class Traffic(Protocol):
    """The gateway, as seen from here."""

    @property
    def held(self) -> int: ...

    @property
    def running(self) -> int: ...

    @property
    def workers_up(self) -> int: ...

    @property
    def workers(self) -> Sequence[Worker]: ...


class StatusApi:
    """The handlers; they gather and decide nothing."""

    def __init__(
        self,
        *,
        env: Env,
        reads: Reads,
        accounts: Accounts,
        poller: Poller,
        traffic: Traffic,
        workers: int,
        policy: str,
        books_metered: bool,
        problems: Callable[[], Sequence[str]],
    ) -> None:
        self._env, self._reads, self._accounts, self._poller = env, reads, accounts, poller
        self._traffic, self.workers, self._policy, self._problems = traffic, workers, policy, problems
        self._books_metered = books_metered
        self._accounts_of: dict[str | None, Kept[Json]] = {}
        self._past = Kept(self._gathered, fresh_s=_PAST_FRESH_S, monotonic_s=env.monotonic_s)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/status", self.status, allow_head=False)
        app.router.add_get("/api/v1/intensity/past", self.past, allow_head=False)

    async def status(self, request: web.Request) -> web.Response:
        """The daemon at a glance; `account` is of the last 30 days. Jobs and account are the caller's tenant's.

        Which worker is metered, and why not, is for keys of no tenant.
        """
        tenant = caller_of(request).tenant
        told = await self.glance(tenant)
        told["workers"]["metering"] = self._metering() if tenant is None else None
        now_s = self._env.now_s()
        span = {"since": format_instant(now_s - ACCOUNT_OF_S), "until": format_instant(now_s)}
        return json_answer(200, {"now": format_instant(now_s), **told, "account": {**span, **told["account"]}})

    async def glance(self, tenant: str | None) -> Json:
        """The same without what changes by itself: instants. Raises StoreBusyError."""
        jobs = await self._env.in_thread(self._reads.count_by_state, tenant)
        return {
            "speed": self._env.speed,
            "policy": self._policy,
            "problems": list(self._problems()),
            "requests": {"held": self._traffic.held, "running": self._traffic.running},
            "workers": {"configured": self.workers, "up": self._traffic.workers_up},
            "jobs": dict(jobs),
            "account": await self._account(tenant).answer(),
        }

    def _metering(self) -> list[Json]:
        return [describe_metering(one, books_metered=self._books_metered) for one in self._traffic.workers]

    async def past(self, _: web.Request) -> web.Response:
        """What is known by now of the last 24 hours, zone by zone; after `realised_until` it is a forecast."""
        return json_answer(200, await self._past.answer())

    def _account(self, tenant: str | None) -> Kept[Json]:
        """Kept for each tenant that has a key, so there are as many as the administrator made."""
        found = self._accounts_of.get(tenant)
        if found is None:

            async def settled() -> Json:
                return await self._settled(tenant)

            found = Kept(settled, fresh_s=_ACCOUNT_FRESH_S, monotonic_s=self._env.monotonic_s)
            self._accounts_of[tenant] = found
        return found

    async def _settled(self, tenant: str | None) -> Json:
        now_s = self._env.now_s()
        account = await self._accounts.settled(now_s - ACCOUNT_OF_S, now_s, tenant=tenant)
        return describe_account(account)

    async def _gathered(self) -> Json:
        now_s = self._env.now_s()
        zones = [await self._past_of(zone, now_s) for zone in sorted(self._poller.answers)]
        return {"since": format_instant(now_s - PAST_S), "until": format_instant(now_s), "zones": zones}

    async def _past_of(self, zone: str, now_s: float) -> Json:
        history = await self._poller.history(zone, now_s - PAST_S, now_s)
        known = realised_then_expected(history, self._poller.forecasts().get(zone))
        return {
            "zone": zone,
            "realised_until": None if history is None else format_instant(min(history.end_at_s, now_s)),
            "points": [] if known is None else describe_points(known, now_s - PAST_S, now_s),
        }


def describe_points(series: IntensitySeries, since_s: float, until_s: float) -> list[Json]:
    """The steps of a series inside an interval, as far as it reaches; a gap is null."""
    try:
        part = series.between(max(since_s, series.start_at_s), min(until_s, series.end_at_s))
    except SeriesError:  # it knows nothing of the interval
        return []
    edges, values = part.edges_at_s.tolist(), part.gco2e_per_kwh.tolist()
    return [
        {"start": format_instant(start), "end": format_instant(end), "gco2e_per_kwh": known_or_none(value)}
        for start, end, value in zip(edges, edges[1:], values, strict=False)
    ]
