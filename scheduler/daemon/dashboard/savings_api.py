"""`/api/v1/savings/by` and `/planned`: the account sorted, and what came of the plans under which jobs first started.

By day, month, tenant, model or kind of work, for one tenant or for all.
Costly answers are kept for seconds, so that many open pages cost as much as one. Prices nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from scheduler.daemon.accounts import Accounts
from scheduler.daemon.api_errors import invalid
from scheduler.daemon.dashboard.kept import Kept
from scheduler.daemon.descriptions import describe_account
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of
from scheduler.daemon.http import Policies, Scope, json_answer
from scheduler.first_plans import Compared, PlannedBy, compared
from scheduler.ledger import Account
from scheduler.quantities import format_instant
from scheduler.savings_by import By, Heap
from scheduler.store.contract import Reads

POLICIES: Policies = {"GET /api/v1/savings/by": Scope.READ, "GET /api/v1/savings/planned": Scope.READ}

Json = dict[str, Any]
# Joules of one request of a model alone at a worker, from its mean tokens (prompt, output); None where nobody knows.
AloneJoules = Callable[[str, int, int], float | None]

_FRESH_S = 5.0
_DAY_S = 86_400.0
# A month of days, a year of months; the rest is of the days that the page's headline is of.
_REACH_S = {"month": 366 * _DAY_S}
_USUAL_REACH_S = 30 * _DAY_S
# The latest so many jobs are held beside their plans: what was used for them is in memory at once.
MAX_PLANS = 10_000
_J_PER_KWH = 3.6e6


class SavingsApi:
    """The handler; it gathers and decides nothing."""

    def __init__(self, *, env: Env, accounts: Accounts, alone_j: AloneJoules, reads: Reads) -> None:
        self._env, self._accounts, self._alone_j, self._reads = env, accounts, alone_j, reads
        self._planned_of: dict[tuple[PlannedBy | None, str | None], Kept[Json]] = {}
        self._kept: dict[tuple[By, str | None], Kept[Json]] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/savings/by", self.savings_by, allow_head=False)
        app.router.add_get("/api/v1/savings/planned", self.planned, allow_head=False)

    async def savings_by(self, request: web.Request) -> web.Response:
        """`group` says by what. The last 30 days; twelve months where it is by month."""
        asked = request.query.get("group", By.DAY)
        if asked not in set(By):
            raise invalid(f"group: {asked[:60]!r} is none of {', '.join(By)}", param="group")
        return json_answer(200, await self._answer(By(asked), caller_of(request).tenant).answer())

    async def planned(self, request: web.Request) -> web.Response:
        """What plans expected of jobs that have succeeded since, beside what became of them; by `group`, or all."""
        asked, tenant = request.query.get("group"), caller_of(request).tenant
        if asked is not None and asked not in set(PlannedBy):
            raise invalid(f"group: {asked[:60]!r} is none of {', '.join(PlannedBy)}", param="group")
        by = None if asked is None else PlannedBy(asked)
        if (by, tenant) not in self._planned_of:

            async def answered() -> Json:
                return await self._planned(by, tenant)

            self._planned_of[by, tenant] = Kept(answered, fresh_s=_FRESH_S, monotonic_s=self._env.monotonic_s)
        return json_answer(200, await self._planned_of[by, tenant].answer())

    async def _planned(self, by: PlannedBy | None, tenant: str | None) -> Json:
        now_s = self._env.now_s()
        since_s = now_s - _REACH_S.get(by or "", _USUAL_REACH_S)
        heaps = await self._env.in_thread(self._compared, by, since_s, now_s, tenant)
        accounts = await self._accounts.priced_each({name: one.uses for name, one in heaps.items()})
        span = {"since": format_instant(since_s), "until": format_instant(now_s)}
        rows = {name: _beside(one, accounts[name]) for name, one in heaps.items()}
        if by is None:
            return {**span, **rows.get("", _beside(Compared(plans=(), uses=()), Account()))}
        return {"object": "list", "group": by, **span, "data": [{"name": name, **one} for name, one in rows.items()]}

    def _compared(
        self, by: PlannedBy | None, since_s: float, until_s: float, tenant: str | None
    ) -> dict[str, Compared]:
        plans = self._reads.kept_plans(since_s, until_s, limit=MAX_PLANS, tenant=tenant)
        return compared(plans, self._reads.uses_of_jobs([one.plan.job_id for one in plans]), by)

    def _answer(self, by: By, tenant: str | None) -> Kept[Json]:
        """Kept for each tenant that has a key, so there are as many as the administrator made."""
        if (by, tenant) not in self._kept:

            async def settled() -> Json:
                return await self._settled(by, tenant)

            self._kept[by, tenant] = Kept(settled, fresh_s=_FRESH_S, monotonic_s=self._env.monotonic_s)
        return self._kept[by, tenant]

    async def _settled(self, by: By, tenant: str | None) -> Json:
        now_s = self._env.now_s()
        since_s = now_s - _REACH_S.get(by, _USUAL_REACH_S)
        heaps = await self._accounts.settled_by(by, since_s, now_s, tenant=tenant)
        rows = [{"name": name, **self._described(by, name, heap)} for name, heap in heaps.items()]
        span = {"since": format_instant(since_s), "until": format_instant(now_s)}
        return {"object": "list", "group": by, **span, "data": rows}

    def _described(self, by: By, name: str, heap: Heap) -> Json:
        account = describe_account(heap.account)
        del account["by_category"]
        tokens = {"prompt_tokens": heap.prompt_tokens, "output_tokens": heap.output_tokens}
        alone_j = self._alone(name, heap) if by is By.MODEL else None
        energy = {"requests_j": heap.request_kwh * _J_PER_KWH, "requests_alone_j": alone_j}
        return {**account, "requests": heap.requests, **tokens, **energy}

    def _alone(self, model: str, heap: Heap) -> float | None:
        """What the same requests would have used one at a time, by the model of energy."""
        if not model or not heap.requests:
            return None
        mean = (round(heap.prompt_tokens / heap.requests), round(heap.output_tokens / heap.requests))
        one_j = self._alone_j(model, *mean)
        return None if one_j is None else one_j * heap.requests


def _beside(one: Compared, account: Account) -> Json:
    """Plans and what became of them."""
    expected = {
        "emissions_gco2e": sum(plan.emissions_gco2e for plan in one.plans),
        "at_once_emissions_gco2e": sum(plan.at_once_emissions_gco2e for plan in one.plans),
    }
    realised = describe_account(account)
    del realised["by_category"]
    return {"jobs": len(one.plans), "planned": expected, "realised": realised}
