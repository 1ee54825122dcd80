"""`GET /api/v1/requests/{id}`: what became of one request, by the id in its `x-request-id`.

The latest ones are known whole; of older ones, and of those before a restart, what the ledger has. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from scheduler.daemon.accounts import Accounts
from scheduler.daemon.api_errors import ApiError, not_found, unavailable
from scheduler.daemon.descriptions import described_band
from scheduler.daemon.env import Env
from scheduler.daemon.guard import owned
from scheduler.daemon.http import Policies, Scope
from scheduler.daemon.request_records import RequestRecord, RequestRecords, Stage, basis_of, why_released
from scheduler.ledger import EnergyUse, Subject
from scheduler.quantities import format_instant
from scheduler.store.contract import Reads, StoreBusyError
from shaping.request import LatencyClass
from shaping.uncertainty import Band, worst

POLICIES: Policies = {"GET /api/v1/requests/{id}": frozenset({Scope.INFER, Scope.READ})}

_RETRY_AFTER_STORE_S = 5.0
_WH_PER_KWH = 1000.0
_ID_LENGTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsApi:
    """The handler."""

    env: Env
    records: RequestRecords
    accounts: Accounts
    reads: Reads

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/requests/{id}", self.show, allow_head=False)

    async def show(self, request: web.Request) -> web.Response:
        """The request as far as it is known; 404 for one that is somebody else's, or forgotten."""
        request_id = request.match_info["id"]
        record = self.records.of(request_id)
        uses = await self._ledgered(request_id) if record is None else list(record.uses)
        if record is None and not uses:
            raise _unknown(request_id)
        owned(request, uses[0].tenant if record is None else record.tenant, lambda: _unknown(request_id))
        told = _by_ledger(request_id, uses) if record is None else _by_record(record, self.env.now_s())
        body = msgspec.json.encode({**told, **await self._energy(uses)})
        return web.Response(body=body, content_type="application/json")

    async def _ledgered(self, request_id: str) -> Sequence[EnergyUse]:
        try:
            return await self.env.in_thread(self.reads.uses_of, Subject.REQUEST, request_id)
        except StoreBusyError as error:
            raise unavailable(str(error), code="store_busy", retry_after_s=_RETRY_AFTER_STORE_S) from None

    async def _energy(self, uses: Sequence[EnergyUse]) -> dict[str, Any]:
        """Settled on what is known of the grid by now; nothing booked, or nothing known, is null."""
        account = await self.accounts.priced(uses)
        is_priced = bool(uses) and account.unpriced_kwh == 0
        known = worst(use.error_class for use in uses)
        bands = None if known is None else account.bands  # that of a part would be taken for the whole's
        return {
            "energy_wh": account.energy_kwh * _WH_PER_KWH if uses else None,
            "basis": basis_of(uses),
            "error_class": known,
            "energy_band_wh": None if bands is None else _in_wh(bands.energy_kwh)._asdict(),
            "emissions_gco2e": account.emissions_gco2e if is_priced else None,
            "emissions_band_gco2e": described_band(bands.emissions_gco2e) if bands and is_priced else None,
            "at_once_emissions_gco2e": account.at_once_emissions_gco2e if is_priced else None,
            "avoided_gco2e": account.avoided_gco2e if is_priced else None,
        }


def _in_wh(band_kwh: Band) -> Band:
    return Band(band_kwh.low * _WH_PER_KWH, band_kwh.high * _WH_PER_KWH)


def _unknown(request_id: str) -> ApiError:
    return not_found(f"Nothing is known of a request {request_id[:_ID_LENGTH]!r}; the oldest are forgotten.")


def _by_record(record: RequestRecord, now_s: float) -> dict[str, Any]:
    because = record.released_because
    return {
        "id": record.id,
        "object": "request",
        "stage": record.stage,
        "status": record.status,
        "tenant": record.tenant,
        "endpoint": record.endpoint,
        "asked_model": record.asked_model,
        "model": record.model,
        "region": record.region,
        "service_tier": record.service_tier,
        "latency_class": record.latency_class,
        "is_streaming": record.is_streaming,
        "route": record.route,
        "route_chance": None if record.route_chance is None else float(record.route_chance),
        "cascade": record.cascade,
        "joined": record.joined,
        "arrived_at": format_instant(record.arrived_at_s),
        "released_at": _instant(record.released_at_s),
        "ended_at": _instant(record.ended_at_s),
        "held_ms": round(record.held_s(now_s) * 1000),
        "released_because": because,
        "why": None if because is None else why_released(because),
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
    }


def _by_ledger(request_id: str, uses: Sequence[EnergyUse]) -> dict[str, Any]:
    """The ledger knows no hold of a batch's line: it counts from the beginning of the batch."""
    first = uses[0]
    arrived_at_s = None if first.category == LatencyClass.BATCH else first.at_once_at_s
    return {
        "id": request_id,
        "object": "request",
        "stage": Stage.ENDED,
        "status": None,
        "tenant": first.tenant,
        "endpoint": None,
        "asked_model": None,
        "model": uses[-1].model,
        "region": uses[-1].region,
        "service_tier": None,
        "latency_class": first.category,
        "is_streaming": None,
        "route": None,
        "route_chance": None,
        "cascade": None,
        "joined": None,
        "arrived_at": _instant(arrived_at_s),
        "released_at": format_instant(first.started_at_s),
        "ended_at": format_instant(max(use.ended_at_s for use in uses)),
        "held_ms": None if arrived_at_s is None else round((first.started_at_s - arrived_at_s) * 1000),
        "released_because": None,
        "why": None,
        "prompt_tokens": sum(use.prompt_tokens for use in uses),
        "output_tokens": sum(use.output_tokens for use in uses),
    }


def _instant(at_s: float | None) -> str | None:
    return None if at_s is None else format_instant(at_s)
