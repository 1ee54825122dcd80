"""Small builders with defaults, so that a test names only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job, JobKind
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import Freed, OpenJob

# 2022-01-01T00:00Z, where the real traces of 2022 begin.
YEAR_2022_AT_S = 1_640_995_200.0
HOUR_S = 3600.0
DAY_S = 86_400.0


def a_job(**fields: Any) -> Job:
    """A command of one hour on one GPU, submitted at 0 with a day of time; `fields` override."""
    defaults: dict[str, Any] = {
        "id": "job",
        "kind": JobKind.COMMAND,
        "submitted_at_s": 0.0,
        "earliest_start_at_s": 0.0,
        "deadline_at_s": DAY_S,
        "duration_s": HOUR_S,
        "power_w": 1000.0,
    }
    return Job(**{**defaults, **fields})


def a_region(**fields: Any) -> Region:
    """One region `here` in zone DE with 8 GPUs and a PUE of 1."""
    defaults: dict[str, Any] = {"name": "here", "zone": "DE", "gpus": 8, "pue": 1.0}
    return Region(**{**defaults, **fields})


def a_series(
    values: Sequence[float], *, zone: str = "DE", start_at_s: float = 0.0, step_s: float = HOUR_S
) -> IntensitySeries:
    """Hourly values from instant 0."""
    return IntensitySeries.regular(zone, start_at_s, step_s, values)


class ScriptedPlanner:
    """Places each job at the start it is told, in one piece, in the first region; unknown jobs start at once."""

    def __init__(self, **starts_at_s: float) -> None:
        self.starts_at_s = starts_at_s
        self.whole_plans = 0

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        self.whole_plans += 1
        placed = [self.place(job, (), regions, forecasts, now_s) for job in open_jobs if job.running is None]
        return Plan(made_at_s=now_s, placements={one.job_id: one for one in placed if isinstance(one, Placement)})

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        return self.plan(open_jobs, regions, forecasts, now_s)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        start_at_s = max(now_s, self.starts_at_s.get(newcomer.job.id, now_s))
        piece = Segment(start_at_s=start_at_s, end_at_s=start_at_s + newcomer.remaining_s, region=regions[0].name)
        return Placement(job_id=newcomer.job.id, segments=(piece,), cause=Cause.CLEANEST)


def moved(job: Job, **fields: Any) -> Job:
    """The same job with other fields."""
    return replace(job, **fields)


def a_request_use(started_at_s: float, *, lasted_s: float, category: str = "interactive", name: str = "") -> EnergyUse:
    """What the ledger keeps of an answered request."""
    return EnergyUse(
        subject=Subject.REQUEST,
        subject_id=name or f"{started_at_s}",
        category=category,
        tenant="default",
        region="here",
        zone="SUN",
        started_at_s=started_at_s,
        ended_at_s=started_at_s + lasted_s,
        energy_kwh=0.001,
        basis=EnergyBasis.MODELLED,
        pue=1.0,
        at_once_at_s=started_at_s,
        at_once_zone="SUN",
        at_once_pue=1.0,
        model="llama-3.1-8b",
    )
