"""What the status page shows, as rows by table and id. Gathers and decides nothing.

What others have is left out for the key of one tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from intensity_feeds.feed import Answer
from scheduler.batches import Batch, LineCounts
from scheduler.config import Settings
from scheduler.daemon.batches_api import described_batch
from scheduler.daemon.dashboard.status import StatusApi
from scheduler.daemon.descriptions import describe_job, describe_region, value_at
from scheduler.daemon.env import Env
from scheduler.daemon.metering import MeterSight
from scheduler.daemon.poller import Poller
from scheduler.daemon.pools import ModelPool
from scheduler.daemon.runner import Runner
from scheduler.daemon.workers import Worker
from scheduler.jobs import JobState
from scheduler.quantities import format_instant
from scheduler.store.contract import JobFilter, Reads
from scheduler.templates import placeholders

Json = dict[str, Any]
Rows = dict[str, Json]

OPEN_JOBS, ENDED_JOBS, BATCHES = 200, 30, 50
ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
OPEN = frozenset(JobState) - ENDED


class Serving(Protocol):
    """The gateway, as seen from here."""

    @property
    def workers(self) -> Sequence[Worker]: ...

    @property
    def pools(self) -> Mapping[str, ModelPool]: ...


class Lines(Protocol):
    """The batches under way."""

    def live_counts(self) -> Mapping[str, LineCounts]: ...


class Sights:
    """Looks at the daemon for one tenant, or for all of them."""

    def __init__(
        self,
        *,
        env: Env,
        settings: Settings,
        reads: Reads,
        runner: Runner,
        poller: Poller,
        serving: Serving,
        lines: Lines,
        status: StatusApi,
    ) -> None:
        self._env, self._reads, self._runner, self._poller = env, reads, runner, poller
        self._serving, self._lines, self._status = serving, lines, status
        self.take_up(settings)

    def take_up(self, settings: Settings) -> None:
        """Other templates."""
        self._templates = {
            "template": {one.name: {"arguments": sorted(placeholders(one.command))} for one in settings.template}
        }

    async def look(self, tenant: str | None) -> dict[str, Rows]:
        """Every table. Raises StoreBusyError."""
        now_s = self._env.now_s()
        return {
            "daemon": {"now": await self._status.glance(tenant)},
            "region": self._regions(now_s),
            "zone": {zone: _zone(answer, now_s) for zone, answer in self._poller.answers.items()},
            "job": await self._jobs(tenant),
            "batch": await self._batches(tenant),
            "worker": {one.name: self._worker(one, tenant) for one in self._serving.workers},
            "model": {name: describe_pool(pool) for name, pool in self._serving.pools.items()},
            **self._templates,
        }

    def _regions(self, now_s: float) -> Rows:
        free = self._runner.engine.free_gpus()
        return {region.name: describe_region(region, free, now_s) for region in self._runner.engine.regions}

    async def _jobs(self, tenant: str | None) -> Rows:
        wanted = ((OPEN, OPEN_JOBS), (ENDED, ENDED_JOBS))
        asked = [(JobFilter(states=states, tenant=tenant), limit) for states, limit in wanted]
        lists = [await self._env.in_thread(self._reads.jobs, chosen, limit=limit) for chosen, limit in asked]
        placement = self._runner.engine.placement
        return {one.job.id: describe_job(one, placement(one.job.id)) for records in lists for one in records}

    async def _batches(self, tenant: str | None) -> Rows:
        live = self._lines.live_counts()
        found: Iterable[Batch] = await self._env.in_thread(self._reads.batches, limit=BATCHES, tenant=tenant)
        counts = {one.id: one.counts if one.is_final else live.get(one.id, one.counts) for one in found}
        return {one.id: described_batch(one, counts[one.id]) for one in found}

    def _worker(self, worker: Worker, tenant: str | None) -> Json:
        served = worker.served
        total = {"requests": served.requests, "prompt_tokens": served.prompt_tokens}
        is_for_one = tenant is not None  # how much all the others use is not this one's business
        described = describe_worker(worker, self._env.monotonic_s())
        return {
            **described,
            "meter": None if is_for_one else described["meter"],
            "served": None if is_for_one else {**total, "output_tokens": served.output_tokens},
        }


def describe_worker(worker: Worker, monotonic_s: float) -> Json:
    """What it is, how it does, and how full it is."""
    settings = worker.settings
    return {
        "state": state_of(worker, monotonic_s),
        "region": settings.region,
        "models": list(settings.models),
        "adapters": list(settings.adapters),
        "role": settings.role,
        "gpu": settings.gpu,
        "gpus": settings.gpus,
        "shares_gpu": settings.shares_gpu or None,
        "in_flight": worker.in_flight,
        "max_sequences": settings.max_sequences,
        "is_metered": worker.is_metered,
        "meter": None if worker.meter is None else _meter(worker.meter),
    }


def _meter(sight: MeterSight) -> Json:
    """Where its energy is from; why it is modelled, where it should be metered and is not.

    Figures are coarse: every change of them is told to every listener.
    """
    return {
        "source": sight.source,
        "problem": sight.what or None,
        "fix": sight.remedy or None,
        "power_w": None if sight.power_w is None else round(sight.power_w, -1),
        "utilisation_ratio": None if sight.utilisation_ratio is None else round(sight.utilisation_ratio, 1),
    }


def state_of(worker: Worker, monotonic_s: float) -> str:
    """In a word; one that does not answer is down, whatever it was told to do."""
    if worker.is_asleep:
        return "asleep"
    if not worker.is_up(monotonic_s):
        return "down"
    return "leaving" if worker.is_leaving else "awake"


def describe_pool(pool: ModelPool) -> Json:
    """What shaping does for one model since the daemon started."""
    return {
        "held": len(pool.held),
        "running": pool.running,
        "places": pool.sequences,
        "released": {reason: asdict(one) for reason, one in pool.released.items() if one.groups},
    }


def _zone(answer: Answer | None, now_s: float) -> Json:
    """As much as tells a page that the grid has to be asked for anew."""
    if answer is None:
        return {"rung": None, "gco2e_per_kwh": None, "start": None, "end": None}
    series = answer.series
    return {
        "rung": answer.rung,
        "gco2e_per_kwh": value_at(series, now_s),
        "start": format_instant(series.start_at_s),
        "end": format_instant(series.end_at_s),
    }
