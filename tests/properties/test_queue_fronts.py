"""The front of a queue gives every job the window that an occupancy finds for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job
from scheduler.planning.open_jobs import draft
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.front import Front
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Hold, Region, Segment
from tests.properties.test_fleet_plans import planned, some_jobs

pytestmark = pytest.mark.slow

NOW_S = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    from_s: float
    duration_s: float
    gpus: int
    regions: tuple[str, ...]


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[Region], list[Segment], list[Asked]]:
    seconds = st.integers(0, 40).map(float)
    names = ["A", "B", "C"][: draw(st.integers(1, 3))]

    def stretch() -> tuple[float, float]:
        start_s, length_s = draw(seconds), draw(st.integers(1, 30))
        return NOW_S - 10.0 + start_s, NOW_S - 10.0 + start_s + length_s

    regions = []
    for name in names:
        gpus = draw(st.integers(1, 5))
        holds = [(*stretch(), draw(st.integers(1, gpus))) for _ in range(draw(st.integers(0, 1)))]
        held = tuple(Hold(start_at_s=from_s, end_at_s=to_s, gpus=count) for from_s, to_s, count in holds)
        regions.append(Region(name=name, zone=name, gpus=gpus, held=held))
    running = []
    for _ in range(draw(st.integers(0, 4))):
        start_s, end_s = stretch()
        running.append(Segment(start_at_s=start_s, end_at_s=end_s, region=draw(st.sampled_from(names)), gpus=1))
    asked = [
        Asked(
            from_s=NOW_S + max(0.0, draw(st.integers(-20, 15))),
            duration_s=draw(st.sampled_from([1.0, 2.0, 5.0, 5.0, 13.0])),
            gpus=draw(st.integers(1, 5)),
            regions=tuple(draw(st.permutations(names))),
        )
        for _ in range(draw(st.integers(1, 25)))
    ]
    return regions, running, asked


def first_window(occupancy: Occupancy, one: Asked) -> Segment | None:
    first = occupancy.earliest_start_at_s
    starts_at_s = {name: first(name, one.from_s, one.duration_s, one.gpus) for name in one.regions}
    name = min(starts_at_s, key=lambda region: starts_at_s[region])
    if math.isinf(starts_at_s[name]):
        return None
    return Segment(start_at_s=starts_at_s[name], end_at_s=starts_at_s[name] + one.duration_s, region=name)


@settings(max_examples=150, deadline=None)
@given(queues())
def test_every_job_has_the_window_that_an_occupancy_finds(
    queue: tuple[list[Region], list[Segment], list[Asked]],
) -> None:
    regions, running, asked = queue
    occupancy = Occupancy.of(regions, [((one,), 1) for one in running])
    front = Front.of(occupancy, regions, NOW_S)
    for one in asked:
        expected = first_window(occupancy, one)
        assert front.taken(one.from_s, one.duration_s, one.gpus, one.regions) == expected
        if expected is not None:
            occupancy.take((expected,), one.gpus)


@settings(max_examples=60, deadline=None)
@given(some_jobs(), st.lists(st.integers(1, 900).map(float), min_size=1, max_size=30))
def test_plans_are_the_same_without_it(jobs: list[Job], row: list[float]) -> None:
    for planner in (RunNowPlanner(), FleetPlanner()):
        by_front = planned(jobs, planner, row, row)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(draft, "_packed_by_front", lambda joint, order: None)
            assert planned(jobs, planner, row, row) == by_front
