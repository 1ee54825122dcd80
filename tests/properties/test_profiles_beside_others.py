"""A job in phases beside others, under a power cap: the cheapest of all starts, found by trying each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Job, Phase
from scheduler.planning.open_jobs.job_room import occupied
from scheduler.planning.open_jobs.needs import need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.run_phases import in_phases
from tests.builders import HOUR_S, a_job, a_region, a_series

# Everything lies on quarters of an hour, so some best start does.
QUARTER_S = 900.0
HOURS, GPUS, CAP_W = 8, 4, 1000.0

others = st.lists(
    st.tuples(
        st.integers(0, 4 * HOURS - 1), st.integers(1, 12), st.integers(0, 3), st.sampled_from([0, 250, 400, 600])
    ),
    max_size=5,
)
phases = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([100.0, 300.0, 600.0, 1000.0])), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(others, phases, st.lists(st.integers(0, 50).map(float), min_size=HOURS, max_size=HOURS))
def test_it_gets_the_cheapest_start_at_which_every_phase_has_its_power(
    taken: list[tuple[int, int, int, int]], lengths: list[tuple[int, float]], row: list[float]
) -> None:
    region, series = a_region(gpus=GPUS, power_cap_w=CAP_W), a_series(row)
    beside = [
        (a_job(id=str(index), gpus=gpus, power_w=float(power_w)), a_piece(start, start + length))
        for index, (start, length, gpus, power_w) in enumerate(taken)
    ]
    job = a_job_in(lengths)
    board = Board((region,), {"DE": series}, occupied((region,), ((one, (piece,)) for one, piece in beside)))
    wanted = need(OpenJob(job=job), 0.0)
    assert wanted is not None
    place = board.cheapest(wanted)
    least_gco2e = min(
        (
            sum(series.emissions_gco2e(part.power_w or 0.0, part.start_at_s, part.end_at_s) for part in parts)
            for parts in every_start(job)
            if all(has_room(part, job.gpus, beside, region) for part in parts)
        ),
        default=math.inf,
    )
    found_gco2e = math.inf if place is None else board.place_gco2e(place)
    assert found_gco2e == pytest.approx(least_gco2e)
    if place is not None:
        assert all(has_room(part, job.gpus, beside, region) for part in in_phases(job, place.segments))


def a_piece(first: int, last: int) -> Segment:
    return Segment(start_at_s=first * QUARTER_S, end_at_s=last * QUARTER_S, region="here")


def a_job_in(lengths: Sequence[tuple[int, float]]) -> Job:
    profile = tuple(Phase(duration_s=length * QUARTER_S, power_w=power_w) for length, power_w in lengths)
    duration_s = sum(phase.duration_s for phase in profile)
    mean_w = sum(phase.duration_s * phase.power_w for phase in profile) / duration_s
    return a_job(duration_s=duration_s, power_w=mean_w, power_profile=profile, deadline_at_s=HOURS * HOUR_S)


def every_start(job: Job) -> list[Sequence[Segment]]:
    length = round(job.duration_s / QUARTER_S)
    return [in_phases(job, (a_piece(start, start + length),)) for start in range(4 * HOURS - length + 1)]


def has_room(part: Segment, gpus: int, beside: Sequence[tuple[Job, Segment]], region: Region) -> bool:
    """Looked at in the middle of each quarter of an hour."""
    quarters = range(round(part.start_at_s / QUARTER_S), round(part.end_at_s / QUARTER_S))
    for middle_s in ((quarter + 0.5) * QUARTER_S for quarter in quarters):
        here = [one for one, piece in beside if piece.start_at_s < middle_s < piece.end_at_s]
        too_wide = sum(one.gpus for one in here) + gpus > region.gpus
        if too_wide or sum(one.power_w for one in here) + (part.power_w or 0.0) > CAP_W:
            return False
    return True
