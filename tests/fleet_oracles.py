"""What a plan of a fleet does, counted by code that shares nothing with the planner: instant by instant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from scheduler.jobs import Job
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan, plan_fleet
from tests.plan_cases import a_region, a_series, integral_by_hand

_SAME_S = 1e-3
PUE = 1.25


def a_fleet(
    jobs: Sequence[Job],
    rows: Sequence[Sequence[float]],
    *,
    gpus: int,
    cap_w: float | None = None,
    speed: float = 1.0,
    phases: Mapping[str, Sequence[Phase]] | None = None,
    scalings: Mapping[str, Scaling] | None = None,
) -> FleetCase:
    """A region `Z0`, `Z1` for each row of hours; a power cap holds in the first one, the others are the faster ones."""
    names = [f"Z{index}" for index in range(len(rows))]
    return FleetCase(
        jobs=jobs,
        regions=[
            replace(a_region(name, gpus=gpus, pue=PUE), speed=speed if index else 1.0)
            for index, name in enumerate(names)
        ],
        forecasts={name: a_series(*row, zone=name) for name, row in zip(names, rows, strict=True)},
        power_caps_w={} if cap_w is None else {"Z0": cap_w},
        phases=phases or {},
        scalings=scalings or {},
    )


def planned(case: FleetCase) -> FleetPlan:
    return plan_fleet(case, np.random.default_rng(7))


def region_of(case: FleetCase, one: Segment) -> Region:
    return next(region for region in case.regions if region.name == one.region)


def gpus_in(job: Job, one: Segment) -> int:
    return one.gpus if one.gpus is not None else job.gpus


def power_w_in(job: Job, one: Segment) -> float:
    return one.power_w if one.power_w is not None else job.power_w


def counted_gco2e(case: FleetCase, places: Assignment) -> float:
    """Of the grid, step by step."""
    grams = 0.0
    for job in case.jobs:
        for one in places.get(job.id, ()):
            region = region_of(case, one)
            kw = power_w_in(job, one) * region.power_ratio * region.pue / 1000.0
            grams += kw * integral_by_hand(case.forecasts[region.zone], one.start_at_s, one.end_at_s) / 3600.0
    return grams


def broken_limits(case: FleetCase, places: Assignment) -> Iterator[str]:
    """GPUs and watts of each region in the middle between any two instants at which something changes."""
    for region in case.regions:
        held = [(job, one) for job in case.jobs for one in places.get(job.id, ()) if one.region == region.name]
        instants = sorted({instant for _, one in held for instant in (one.start_at_s, one.end_at_s)})
        for low, high in pairwise(instants):
            middle = (low + high) / 2
            if high - low < _SAME_S:
                continue
            here = [(job, one) for job, one in held if one.start_at_s < middle < one.end_at_s]
            out = sum(one.gpus for one in region.held if one.start_at_s < middle < one.end_at_s)
            if sum(gpus_in(job, one) for job, one in here) + out > region.gpus:
                yield f"GPUs of {region.name} at {middle}"
            drawn_w = sum(power_w_in(job, one) * region.power_ratio * region.pue for job, one in here)
            if drawn_w > case.power_caps_w.get(region.name, math.inf) + 1e-3:
                yield f"watts of {region.name} at {middle}"


def broken_windows(case: FleetCase, places: Assignment) -> Iterator[str]:
    """Jobs outside their time or their regions, or in two places at once."""
    for job in case.jobs:
        pieces = places.get(job.id, ())
        for one in pieces:
            if one.start_at_s < job.earliest_start_at_s - _SAME_S or one.end_at_s > job.deadline_at_s + _SAME_S:
                yield f"{job.id} outside its time"
            if job.regions and one.region not in job.regions:
                yield f"{job.id} outside its regions"
        if any(after.start_at_s < before.end_at_s - _SAME_S for before, after in pairwise(pieces)):
            yield f"{job.id} in two places at once"
