"""Everything that the daemon answers, on one application. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from scheduler.daemon import (
    batch_explain_api,
    keys_api,
    outlook_api,
    quotas_api,
    requests_api,
    session_api,
)
from scheduler.daemon.audit import AuditLog
from scheduler.daemon.dashboard import events_api, savings_api
from scheduler.daemon.dashboard import page as status_page
from scheduler.daemon.dashboard import status as status_api
from scheduler.daemon.dashboard.sights import Sights
from scheduler.daemon.http import make_app
from scheduler.daemon.openapi import api as openapi_api
from scheduler.daemon.policies import POLICIES

if TYPE_CHECKING:
    from scheduler.daemon.app import Daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The application, and what of it lives on: what the page is told, and the connections over which it is."""

    app: web.Application
    status: status_api.StatusApi
    sights: Sights
    events: events_api.EventsApi


def front_of(daemon: Daemon) -> Front:
    """Every route, behind the door."""
    server = daemon.settings.server
    audit = AuditLog(daemon.env, daemon.writer)
    app = make_app(
        server,
        env=daemon.env,
        metrics=daemon.metrics,
        problems=daemon.problems,
        policies=POLICIES,
        remarks=daemon.poller.unknown_zones,
        guard=daemon.guard,
        audit=audit,
        traces=daemon.tracing,
    )
    daemon.gateway.add_routes(app)
    daemon.files.add_routes(app)
    daemon.batches_api.add_routes(app)
    batch_explain_api.BatchExplainApi(
        env=daemon.env, api=daemon.batches_api, batches=daemon.batches, runner=daemon.runner, poller=daemon.poller
    ).add_routes(app)
    daemon.fine_tuning.add_routes(app)
    daemon.api.add_routes(app)
    outlook_api.OutlookApi(
        env=daemon.env, runner=daemon.runner, poller=daemon.poller, accounts=daemon.accounts, budgets=daemon.budgets
    ).add_routes(app)
    keys_api.KeysApi(env=daemon.env, reads=daemon.reads, guard=daemon.guard, audit=audit).add_routes(app)
    session_api.SessionApi(env=daemon.env, guard=daemon.guard, audit=audit).add_routes(app)
    daemon.quotas.add_routes(app)
    quotas_api.QuotasApi(env=daemon.env, audit=audit, book=daemon.quotas).add_routes(app)
    requests_api.RequestsApi(
        env=daemon.env, records=daemon.gateway.records, accounts=daemon.accounts, reads=daemon.reads
    ).add_routes(app)
    status = _status(daemon)
    status.add_routes(app)
    sights = _sights(daemon, status)
    events = events_api.EventsApi(env=daemon.env, guard=daemon.guard, sights=sights, metrics=daemon.metrics)
    events.add_routes(app)
    savings_api.SavingsApi(
        env=daemon.env, accounts=daemon.accounts, alone_j=daemon.gateway.alone_j, reads=daemon.reads
    ).add_routes(app)
    status_page.Page().add_routes(app)
    openapi_api.OpenApi(POLICIES).add_routes(app)
    return Front(app=app, status=status, sights=sights, events=events)


def _status(daemon: Daemon) -> status_api.StatusApi:
    return status_api.StatusApi(
        env=daemon.env,
        reads=daemon.reads,
        accounts=daemon.accounts,
        poller=daemon.poller,
        traffic=daemon.gateway,
        workers=len(daemon.settings.worker),
        policy=daemon.settings.planning.policy,
        books_metered=daemon.settings.telemetry.book_metered,
        problems=daemon.problems,
    )


def _sights(daemon: Daemon, status: status_api.StatusApi) -> Sights:
    return Sights(
        env=daemon.env,
        settings=daemon.settings,
        reads=daemon.reads,
        runner=daemon.runner,
        poller=daemon.poller,
        serving=daemon.gateway,
        lines=daemon.batches,
        status=status,
    )
