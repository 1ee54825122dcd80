"""`/api/v1`: the plan, the intensity, the savings, and what budgets have left. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from scheduler.daemon.accounts import Accounts
from scheduler.daemon.api_errors import invalid, not_found
from scheduler.daemon.descriptions import (
    Json,
    describe_account,
    describe_answer,
    describe_placement,
    describe_region,
    describe_standing,
)
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of, tenant_looked_at
from scheduler.daemon.http import Policies, Scope, json_answer
from scheduler.daemon.job_desk import naming_the_store
from scheduler.daemon.poller import Poller
from scheduler.daemon.runner import Runner
from scheduler.daemon.tenants import TenantBudgets
from scheduler.planning.plan import Placement
from scheduler.quantities import QuantityError, format_instant, parse_instant_s

POLICIES: Policies = {
    "GET /api/v1/plan": Scope.READ,
    "GET /api/v1/intensity": Scope.READ,
    "GET /api/v1/savings": Scope.READ,
    "GET /api/v1/budgets": Scope.READ,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookApi:
    """The handlers."""

    env: Env
    runner: Runner
    poller: Poller
    accounts: Accounts
    budgets: TenantBudgets

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/plan", self.plan, allow_head=False)
        app.router.add_get("/api/v1/intensity", self.intensity, allow_head=False)
        app.router.add_get("/api/v1/savings", self.savings, allow_head=False)
        app.router.add_get("/api/v1/budgets", self.budgets_left, allow_head=False)

    async def plan(self, request: web.Request) -> web.Response:
        plan, free, now_s = self.runner.engine.plan(), self.runner.engine.free_gpus(), self.env.now_s()
        placements = [self._described(one) for name, one in plan.placements.items() if self._is_own(request, name)]
        return json_answer(
            200,
            {
                "made_at": format_instant(now_s),
                "regions": [describe_region(region, free, now_s) for region in self.runner.engine.regions],
                "placements": placements,
            },
        )

    async def intensity(self, request: web.Request) -> web.Response:
        zone, now_s = request.query.get("zone"), self.env.now_s()
        if zone is not None and zone not in self.poller.answers:
            raise not_found(f"Zone {zone!r} is not one of {', '.join(sorted(self.poller.answers)) or 'none'}.")
        chosen = {zone: self.poller.answers[zone]} if zone is not None else self.poller.answers
        zones = [describe_answer(name, answer, now_s) for name, answer in sorted(chosen.items())]
        return json_answer(200, {"now": format_instant(now_s), "zones": zones})

    async def savings(self, request: web.Request) -> web.Response:
        """The account since `since`, else of the last 30 days, priced on what is known of the intensity by now.

        `tenant` narrows it down.
        """
        now_s = self.env.now_s()
        since_s = _instant_of(request, "since", now_s - 30 * 86400.0)
        with naming_the_store():
            account = await self.accounts.settled(since_s, now_s, tenant=tenant_looked_at(request))
        described = describe_account(account)
        return json_answer(200, {"since": format_instant(since_s), "until": format_instant(now_s), **described})

    async def budgets_left(self, request: web.Request) -> web.Response:
        """What each tenant's budget has left in its period under way; `tenant` narrows it down."""
        tenant = tenant_looked_at(request)
        found = [one for one in self.budgets.standings(self.env.now_s()) if tenant is None or one.budget.covers(tenant)]
        return json_answer(200, {"object": "list", "data": [describe_standing(one) for one in found]})

    def _described(self, placement: Placement) -> Json:
        job = self.runner.engine.job(placement.job_id)
        return describe_placement(placement, None if job is None else job.power_error_class)

    def _is_own(self, request: web.Request, job_id: str) -> bool:
        job = self.runner.engine.job(job_id)
        return job is not None and caller_of(request).acts_for(job.tenant)


def _instant_of(request: web.Request, name: str, default_s: float) -> float:
    text = request.query.get(name)
    try:
        return default_s if text is None else parse_instant_s(text)
    except QuantityError as error:
        raise invalid(f"{name}: {error}", param=name) from None
