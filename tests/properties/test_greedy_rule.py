"""The greedy rule beside a plan at hand, and places among many regions, beside doing all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
from scheduler.planning.whole_fleet.fleet_case import FleetCase, Room
from scheduler.planning.whole_fleet.greedy import greedy_if_better
from scheduler.planning.whole_fleet.local_search import by_latest_start, filled
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS, REGIONS = 8, 5
rows = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def some_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(3, 14))):
        length = draw(st.integers(1, 12))
        earliest = draw(st.integers(0, HOURS * 4 - length))
        within = draw(st.integers(length, HOURS * 4 - earliest))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=length * HOUR_S / 4,
                earliest_s=MIDNIGHT_S + earliest * HOUR_S / 4,
                within_s=within * HOUR_S / 4,
                interruption=draw(st.sampled_from((None, Interruption()))),
            )
        )
    return jobs


@st.composite
def fleets(draw: st.DrawFn) -> FleetCase:
    regions = [a_region(f"Z{number}") for number in range(REGIONS)]
    return FleetCase(
        jobs=draw(some_jobs()),
        regions=regions,
        forecasts={region.zone: a_series(*draw(rows), zone=region.zone) for region in regions},
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(fleets(), st.integers(0, 2), st.sampled_from((0.95, 0.999, 1.0, 1.001, 1.05)))
def test_the_rule_is_given_up_only_where_it_ends_worse(case: FleetCase, refused: int, ratio: float) -> None:
    carbon = Rates.of(case)
    whole = filled(case, carbon, carbon, by_latest_start)
    most_gco2e = whole.rank[1] * ratio
    found = greedy_if_better(carbon, lower_bound(case.jobs, carbon, 40), refused, most_gco2e)
    if found:
        assert found == whole.places
    else:
        assert whole.rank > (refused, most_gco2e * (1 - 1e-9))


def test_the_rule_is_given_up_before_its_end() -> None:
    # Whoever is the most urgent takes the only clean hour, which the others need more: all are 5 kW, one is 1 kW.
    jobs = [
        a_job("urgent", within_s=2 * HOUR_S),
        *(a_job(f"{n}", within_s=3 * HOUR_S, power_w=5000.0) for n in range(2)),
    ]
    case = FleetCase(jobs=jobs, regions=[a_region()], forecasts={"DE": a_series(500, 100, 200)})
    carbon = Rates.of(case)
    guide = lower_bound(jobs, carbon, 200)
    assert greedy_if_better(carbon, guide, 0, 2000.0) == {}
    assert set(greedy_if_better(carbon, guide, 0, 10_000.0)) == {"urgent", "0", "1"}


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(fleets())
def test_a_place_among_many_regions_is_the_cheapest_of_all(case: FleetCase) -> None:
    rates, room = Rates.of(case), Room(case)
    for job in case.jobs:
        place = cheapest_place(job, rates, room)
        costs = [least for region in case.regions if (least := least_in(case, job, room, region.name)) is not None]
        if job.interruption is None:
            assert (place is None) == (not costs)
            assert place is None or rates.cost_of(job, place) == pytest.approx(min(costs))
        else:
            assert place is None or rates.cost_of(job, place) == pytest.approx(least_in_pieces(rates, job, room))
        if place is not None:
            room.take(job, place)


def least_in(case: FleetCase, job: Job, room: Room, region: str) -> float | None:
    alone = Rates.of(replace(case, jobs=[replace(job, regions=(region,))]))
    place = cheapest_place(replace(job, regions=(region,)), alone, room)
    return None if place is None else alone.cost_of(job, place)


def least_in_pieces(rates: Rates, job: Job, room: Room) -> float:
    """Over all regions at once."""
    assert job.interruption is not None
    work = Work(
        work_s=job.duration_s,
        earliest_s=job.earliest_start_at_s,
        deadline_s=job.deadline_at_s,
        interruption=job.interruption,
    )
    curves = rates.curves(job)
    found = cheapest_pieces(curves, work, {one.region: room.free(job, one.region) for one in curves})
    assert found is not None
    return found.integral_g_s_per_kwh
