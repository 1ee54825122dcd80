"""Elastic jobs in a fleet, beside every plan there is on hours, and alone beside the optimum of one job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.one_job.elastic import ElasticJob, NotEnoughTimeError, Scaling, cleanest_scaling
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from tests.fleet_oracles import (
    PUE,
    a_fleet,
    broken_limits,
    broken_windows,
    counted_gco2e,
    gpus_in,
    planned,
    power_w_in,
    region_of,
)
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_job

HOURS = 4

# Concave, linear, and one whose second GPU gains less than its third.
CURVES = (
    Scaling(speeds=((1, 1.0), (2, 1.5))),
    Scaling(speeds=((1, 1.0), (2, 2.0))),
    Scaling(speeds=((1, 1.0), (2, 1.5), (3, 3.0))),
    Scaling(speeds=((2, 1.0), (3, 1.5))),
)

# An hour of one job: (hour, region, GPUs).
Hour = tuple[int, int, int]

intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
Scalings = Mapping[str, Scaling]


def an_elastic_job(
    name: str,
    scaling: Scaling,
    *,
    gpus: int | None = None,
    work_s: float = HOUR_S,
    w_per_gpu: float = 500.0,
    earliest_s: float = MIDNIGHT_S,
    within_s: float = HOURS * HOUR_S,
    may_move: bool = False,
) -> Job:
    """`work_s` at speed 1, as it runs on so many GPUs at once: by default the fewest."""
    gpus = scaling.speeds[0][0] if gpus is None else gpus
    return a_job(
        name,
        duration_s=work_s / dict(scaling.speeds)[gpus],
        earliest_s=earliest_s,
        within_s=within_s,
        gpus=gpus,
        power_w=gpus * w_per_gpu,
        interruption=Interruption() if may_move else None,
    )


@st.composite
def hour_fleets(draw: st.DrawFn) -> tuple[list[Job], dict[str, Scaling]]:
    jobs, scalings = [], dict[str, Scaling]()
    for number in range(draw(st.integers(1, 2))):
        name, earliest_h = f"job-{number}", draw(st.integers(0, HOURS - 1))
        earliest_s, within_s = MIDNIGHT_S + earliest_h * HOUR_S, draw(st.integers(1, HOURS - earliest_h)) * HOUR_S
        if number == 0 or draw(st.booleans()):
            scalings[name] = draw(st.sampled_from(CURVES))
            work_s = draw(st.sampled_from((1.0, 2.0, 3.0))) * HOUR_S
            job = an_elastic_job(name, scalings[name], work_s=work_s, earliest_s=earliest_s, within_s=within_s)
            jobs.append(job)
        else:
            jobs.append(a_job(name, earliest_s=earliest_s, within_s=within_s, gpus=2, power_w=1000.0))
    return jobs, scalings


def choices(case: FleetCase, job: Job) -> Iterator[tuple[Hour, ...]]:
    """Every way to run a job on whole hours; an elastic one may rest, or run on any of its counts, in one region."""
    first, last = (
        round((instant_s - MIDNIGHT_S) / HOUR_S) for instant_s in (job.earliest_start_at_s, job.deadline_at_s)
    )
    for index, region in enumerate(case.regions):
        if job.id not in case.scalings:
            length = round(job.duration_s / region.speed / HOUR_S)
            for start in range(first, last - length + 1):
                yield tuple((hour, index, job.gpus) for hour in range(start, start + length))
            continue
        speeds = dict(case.scalings[job.id].speeds)
        need = job.duration_s / HOUR_S * speeds[job.gpus] / region.speed
        for counts in product((0, *speeds), repeat=last - first):
            if math.isclose(sum(speeds[count] for count in counts if count), need):
                yield tuple((first + hour, index, count) for hour, count in enumerate(counts) if count)


def least_gco2e(case: FleetCase) -> float:
    rows = [case.forecasts[region.zone].gco2e_per_kwh.tolist() for region in case.regions]
    caps_w = [case.power_caps_w.get(region.name, math.inf) for region in case.regions]

    def search(number: int, taken: dict[tuple[int, int], tuple[int, float]]) -> float:
        if number == len(case.jobs):
            return 0.0
        job, best = case.jobs[number], math.inf
        for hours in choices(case, job):
            held, own = dict(taken), 0.0
            for hour, index, count in hours:
                facility_w = job.power_w / job.gpus * count * PUE
                gpus, drawn_w = held.get((hour, index), (0, 0.0))
                held[hour, index] = gpus + count, drawn_w + facility_w
                own += facility_w / 1000.0 * rows[index][hour]
            if all(gpus <= case.regions[at].gpus and w <= caps_w[at] + 1e-6 for (_, at), (gpus, w) in held.items()):
                best = min(best, own + search(number + 1, held))
        return best

    return search(0, {})


@pytest.mark.slow
@settings(max_examples=7, deadline=None)
@given(hour_fleets(), intensities, intensities, st.sampled_from((None, 1300.0)))
def test_the_bound_is_below_the_best_plan_on_hours_and_the_plan_not_much_above(
    fleet: tuple[list[Job], dict[str, Scaling]], row: list[float], other: list[float], cap_w: float | None
) -> None:
    case = a_fleet(fleet[0], (row, other), gpus=3, scalings=fleet[1], cap_w=cap_w)
    least, found = least_gco2e(case), planned(case)
    if math.isinf(least):
        return
    assert not found.reasons
    assert found.certificate.lower_bound_gco2e <= least + 1e-6
    assert lower_bound(case.jobs, Rates.of(case)).lower_bound_gco2e <= least + 1e-6
    assert found.certificate.emissions_gco2e <= 1.05 * least + 1e-6


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(CURVES),
    st.floats(0.2, 6.0),
    st.booleans(),
    intensities,
    intensities,
    st.sampled_from((None, 900.0)),
)
def test_an_elastic_job_alone_is_the_optimum_of_one_job(
    scaling: Scaling, work_h: float, may_move: bool, row: list[float], other: list[float], cap_w: float | None
) -> None:
    job = an_elastic_job("one", scaling, work_s=work_h * HOUR_S, may_move=may_move)
    case = a_fleet([job], (row, other), gpus=3, scalings={"one": scaling}, cap_w=cap_w)
    curves = [a_curve(case.forecasts[one.name], pue=PUE) for one in case.regions]
    # Under 900 W with a PUE of 1.25 one GPU of 500 W runs in the first region.
    free = {one.name: ((MIDNIGHT_S, MIDNIGHT_S + HOURS * HOUR_S, 3),) for one in case.regions}
    if cap_w is not None:
        free["Z0"] = ((MIDNIGHT_S, MIDNIGHT_S + HOURS * HOUR_S, 1),)
    asked = ElasticJob(
        work_s=work_h * HOUR_S,
        power_w=500.0,
        earliest_s=job.earliest_start_at_s,
        deadline_s=job.deadline_at_s,
        scaling=scaling,
    )
    found = planned(case)
    try:
        alone = cleanest_scaling(curves, asked, free, may_move=may_move)
    except NotEnoughTimeError:
        assert found.reasons
        return
    assert found.certificate.emissions_gco2e == pytest.approx(alone.emissions_gco2e, rel=1e-6)
    assert found.certificate.lower_bound_gco2e == pytest.approx(alone.emissions_gco2e, rel=1e-6)


@pytest.mark.slow
@settings(max_examples=7, deadline=None)
@given(st.data(), intensities, intensities, st.sampled_from((None, 1200.0, 3000.0)), st.sampled_from((0.7, 1.0, 2.1)))
def test_plans_keep_every_limit_and_are_what_they_say(
    data: st.DataObject, row: list[float], other: list[float], cap_w: float | None, speed: float
) -> None:
    jobs, scalings = data.draw(any_fleets())
    case = a_fleet(jobs, (row, other), gpus=4, scalings=scalings, cap_w=cap_w, speed=speed)
    found = planned(case)
    assert flaws(case, found.segments) == ()
    assert [*broken_limits(case, found.segments), *broken_windows(case, found.segments)] == []
    assert found.certificate.emissions_gco2e == pytest.approx(counted_gco2e(case, found.segments))
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e + 1e-6
    for job in jobs:
        pieces = found.segments.get(job.id, ())
        if not pieces or job.id not in scalings:
            continue
        speeds = dict(scalings[job.id].speeds)
        done_s = sum(one.duration_s * speeds[gpus_in(job, one)] * region_of(case, one).speed for one in pieces)
        assert done_s == pytest.approx(job.duration_s * speeds[job.gpus], abs=0.01)
        assert [power_w_in(job, one) for one in pieces] == pytest.approx([500.0 * gpus_in(job, one) for one in pieces])
        assert job.interruption is not None or len({one.region for one in pieces}) == 1


@st.composite
def any_fleets(draw: st.DrawFn) -> tuple[list[Job], dict[str, Scaling]]:
    jobs, scalings = [], dict[str, Scaling]()
    for number in range(draw(st.integers(1, 6))):
        name, earliest_s = f"job-{number}", MIDNIGHT_S + draw(st.floats(0.0, 2 * HOUR_S))
        within_s = draw(st.floats(600.0, HOURS * HOUR_S))
        if draw(st.booleans()):
            scalings[name] = draw(st.sampled_from(CURVES))
            job = an_elastic_job(
                name,
                scalings[name],
                gpus=draw(st.sampled_from([gpus for gpus, _ in scalings[name].speeds])),
                work_s=draw(st.floats(60.0, 3 * HOUR_S)),
                earliest_s=earliest_s,
                within_s=within_s,
                may_move=draw(st.booleans()),
            )
            jobs.append(job)
        else:
            pause = draw(st.sampled_from((None, Interruption())))
            jobs.append(a_job(name, earliest_s=earliest_s, within_s=within_s, interruption=pause, power_w=700.0))
    return jobs, scalings
