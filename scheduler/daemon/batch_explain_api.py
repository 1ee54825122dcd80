"""`GET /api/v1/batches/{id}/explain`: why a batch waits or goes, until when, and on which forecast. Decides nothing.

The batch itself is at `/v1/batches/{id}`, as OpenAI's clients know it; nothing is added there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scheduler.batch_standing import LineFlow, done_ratio, phase_of, why
from scheduler.batches import Batch
from scheduler.daemon.batches import Batches
from scheduler.daemon.batches_api import BatchesApi
from scheduler.daemon.descriptions import value_at
from scheduler.daemon.env import Env
from scheduler.daemon.files_api import json_answer
from scheduler.daemon.http import Policies, Scope
from scheduler.daemon.poller import Poller
from scheduler.daemon.runner import Runner
from scheduler.quantities import format_instant

POLICIES: Policies = {"GET /api/v1/batches/{id}/explain": frozenset({Scope.BATCH, Scope.READ})}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchExplainApi:
    """The handler."""

    env: Env
    api: BatchesApi
    batches: Batches
    runner: Runner
    poller: Poller

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/batches/{id}/explain", self.explain, allow_head=False)

    async def explain(self, request: web.Request) -> web.Response:
        # Taken before the row is read, as where the batch is shown.
        live = self.batches.live_counts()
        batch = await self.api.own(request)
        counts = batch.counts if batch.is_final else live.get(batch.id, batch.counts)
        flow, now_s = self.batches.flow_of(batch.id), self.env.now_s()
        grid = self._grid(batch, flow, now_s)
        intensity = grid["intensity"]
        return json_answer(
            {
                "batch": batch.id,
                "status": batch.status,
                "phase": phase_of(batch, flow),
                "why": why(batch, flow, now_s, **intensity),
                "deadline": format_instant(batch.deadline_at_s),
                "waits_until": _instant(flow.waits_until_s),
                "latest_start": _instant(flow.latest_start_at_s),
                "need_s": flow.need_s,
                "done_ratio": done_ratio(counts),
                "lines": {
                    "total": counts.total,
                    "completed": counts.completed,
                    "failed": counts.failed,
                    "in_flight": flow.in_flight,
                },
                **grid,
            }
        )

    def _grid(self, batch: Batch, flow: LineFlow, now_s: float) -> Json:
        """Of the region whose workers answer the lines; what is not known is null."""
        home = self.batches.home_of(batch)
        zone = next((one.zone for one in self.runner.engine.regions if one.name == home), None)
        answer = None if zone is None else self.poller.answers.get(zone)
        then_s = flow.waits_until_s
        intensity = {
            "now_gco2e_per_kwh": None if answer is None else value_at(answer.series, now_s),
            "then_gco2e_per_kwh": None if answer is None or then_s is None else value_at(answer.series, then_s),
        }
        forecast = None if answer is None else {"rung": answer.rung, "feed": answer.feed, "age_s": answer.age_s}
        return {"region": home, "zone": zone, "intensity": intensity, "forecast": forecast}


def _instant(instant_s: float | None) -> str | None:
    return None if instant_s is None else format_instant(instant_s)
