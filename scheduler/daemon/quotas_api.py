"""`/api/v1/quotas/{tenant}`: set, show and take away what a tenant may use, while the daemon runs.

A change and its entry in the audit log are one transaction. What the settings say of a tenant cannot be changed here:
the file is read again on SIGHUP, and two places that contradict each other would leave nobody sure of the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from aiohttp import web

from scheduler.daemon.api_errors import ApiError, invalid
from scheduler.daemon.audit import AuditLog
from scheduler.daemon.env import Env
from scheduler.daemon.guard import caller_of, refuse_single_tenants
from scheduler.daemon.http import REQUEST_ID, Policies, refuse_other_origins
from scheduler.daemon.keys_api import MAX_TENANT, busy, fields_of, unstored
from scheduler.daemon.quota_book import QuotaBook, SetBy
from scheduler.keys import Scope
from scheduler.quota_settings import TenantSettings, limits_of
from scheduler.quotas import Limit
from scheduler.store.contract import DiskFullError, StoreBusyError

POLICIES: Policies = {
    "GET /api/v1/quotas/{tenant}": frozenset({Scope.READ, Scope.ADMIN}),
    "POST /api/v1/quotas/{tenant}": Scope.ADMIN,
    "POST /api/v1/quotas/{tenant}/clear": Scope.ADMIN,
}

# What a number of a database's column and of every client holds exactly.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]


class QuotaFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All limits of a tenant, in place of those that it had; what is left out is not limited."""

    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    energy_kwh_per_minute: _Amount | None = None
    gco2e_per_minute: _Amount | None = None
    usd_per_minute: _Amount | None = None
    requests_per_month: _Count | None = None
    tokens_per_month: _Count | None = None
    energy_kwh_per_month: _Amount | None = None
    gco2e_per_month: _Amount | None = None
    usd_per_month: _Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotasApi:
    """The handlers. Only keys of all tenants change a quota: nobody sets a limit to himself."""

    env: Env
    audit: AuditLog
    book: QuotaBook

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/quotas/{tenant}", self.show, allow_head=False)
        app.router.add_post("/api/v1/quotas/{tenant}", self.put)
        app.router.add_post("/api/v1/quotas/{tenant}/clear", self.clear)

    async def show(self, request: web.Request) -> web.Response:
        """One tenant, whether it is limited or not."""
        tenant = _tenant(request)
        if not caller_of(request).acts_for(tenant):
            refuse_single_tenants(request)
        return self._answer(tenant)

    async def put(self, request: web.Request) -> web.Response:
        """These limits from the next request on; what was used stays used."""
        refuse_other_origins(request)
        asked = msgspec.structs.asdict(await fields_of(request, QuotaFields))
        tenant = self._changeable(request)
        limits = limits_of([TenantSettings(name=tenant, **asked)])[tenant]
        if not limits:
            raise invalid("name at least one limit; to take them all away there is /clear", code="no_limit")
        return await self._written(request, tenant, limits)

    async def clear(self, request: web.Request) -> web.Response:
        """No limits any more."""
        refuse_other_origins(request)
        return await self._written(request, self._changeable(request), ())

    async def _written(self, request: web.Request, tenant: str, limits: tuple[Limit, ...]) -> web.Response:
        try:
            await self.audit.with_change(
                request,
                tenant,
                lambda store: store.write_quota(tenant, limits),
                status=200,
                request_id=request[REQUEST_ID],
            )
        except (StoreBusyError, DiskFullError) as error:
            raise busy(error) from None
        self.book.set_one_here(tenant, limits)
        return self._answer(tenant)

    def _changeable(self, request: web.Request) -> str:
        refuse_single_tenants(request)
        tenant = _tenant(request)
        if self.book.set_by(tenant) is SetBy.SETTINGS:
            message = f"The quota of {tenant!r} stands in the settings: change [[tenant]] there, and send SIGHUP."
            raise ApiError(409, message, kind="invalid_request_error", code="quota_of_settings")
        return tenant

    def _answer(self, tenant: str) -> web.Response:
        described: dict[str, Any] = {"object": "quota", **self.book.described(tenant, self.env.now_s())}
        return unstored(200, described)


def _tenant(request: web.Request) -> str:
    """Raises ApiError 400."""
    tenant = request.match_info["tenant"]
    if len(tenant) > MAX_TENANT or not tenant.isprintable():
        raise invalid(f"tenant: at most {MAX_TENANT} characters that print", param="tenant")
    return tenant
