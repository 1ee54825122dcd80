"""Jobs with a power profile in a fleet, beside every plan there is on half hours, under GPUs and a power cap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.one_job.power_profile import Phase, cheapest_profiled_window
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import flaws
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from tests.fleet_oracles import PUE, a_fleet, broken_limits, broken_windows, counted_gco2e, planned
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_job

HOURS, STEP_S = 6, HOUR_S / 2

# A step of one job: where, and the watts it draws there.
Step = tuple[int, int, float]

intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
Profiles = dict[str, tuple[Phase, ...]]


def a_profiled_job(name: str, phases: Sequence[Phase], *, earliest_s: float, within_s: float, gpus: int = 1) -> Job:
    """With the mean power of its phases."""
    duration_s = sum(one.duration_s for one in phases)
    energy_j = sum(one.duration_s * one.power_w for one in phases)
    return a_job(
        name,
        duration_s=duration_s,
        earliest_s=earliest_s,
        within_s=within_s,
        gpus=gpus,
        power_w=energy_j / duration_s,
    )


@st.composite
def hour_phases(draw: st.DrawFn) -> tuple[Phase, ...]:
    lengths = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3).filter(lambda ones: sum(ones) <= 4))
    return tuple(
        Phase(duration_s=length * HOUR_S, power_w=draw(st.sampled_from((300.0, 1000.0, 2000.0)))) for length in lengths
    )


@st.composite
def hour_fleets(draw: st.DrawFn) -> tuple[list[Job], Profiles]:
    jobs, profiles = [], dict[str, tuple[Phase, ...]]()
    for number in range(draw(st.integers(1, 3))):
        phases, earliest_h = draw(hour_phases()), draw(st.integers(0, 3))
        earliest_s, within_s = MIDNIGHT_S + earliest_h * HOUR_S, draw(st.integers(1, HOURS - earliest_h)) * HOUR_S
        gpus = draw(st.integers(1, 2))
        if draw(st.integers(0, 3)):
            profiles[f"job-{number}"] = phases
            jobs.append(a_profiled_job(f"job-{number}", phases, gpus=gpus, earliest_s=earliest_s, within_s=within_s))
        else:
            jobs.append(a_job(f"job-{number}", gpus=gpus, earliest_s=earliest_s, within_s=within_s))
    return jobs, profiles


def choices(case: FleetCase, job: Job) -> Iterator[tuple[Step, ...]]:
    """Every way to run a job on half hours."""
    first, last = (
        round((instant_s - MIDNIGHT_S) / STEP_S) for instant_s in (job.earliest_start_at_s, job.deadline_at_s)
    )
    phases = case.phases.get(job.id, (Phase(duration_s=job.duration_s, power_w=job.power_w),))
    for index, region in enumerate(case.regions):
        drawn_w = [one.power_w for one in phases for _ in range(round(one.duration_s / region.speed / STEP_S))]
        for start in range(first, last - len(drawn_w) + 1):
            yield tuple((start + step, index, power_w) for step, power_w in enumerate(drawn_w))


def least_gco2e(case: FleetCase) -> float:
    rows = [case.forecasts[region.zone].gco2e_per_kwh.tolist() for region in case.regions]
    caps_w = [case.power_caps_w.get(region.name, math.inf) for region in case.regions]

    def search(number: int, taken: dict[tuple[int, int], tuple[int, float]]) -> float:
        if number == len(case.jobs):
            return 0.0
        job, best = case.jobs[number], math.inf
        for steps in choices(case, job):
            held = dict(taken)
            for step, index, power_w in steps:
                gpus, drawn_w = held.get((step, index), (0, 0.0))
                held[step, index] = gpus + job.gpus, drawn_w + power_w * PUE
            if any(
                gpus > case.regions[index].gpus or w > caps_w[index] + 1e-6 for (_, index), (gpus, w) in held.items()
            ):
                continue
            own = sum(power_w / 1000.0 * PUE * rows[index][step // 2] / 2 for step, index, power_w in steps)
            best = min(best, own + search(number + 1, held))
        return best

    return search(0, {})


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(hour_fleets(), intensities, intensities, st.sampled_from((None, 2500.0, 3000.0)), st.sampled_from((1.0, 2.0)))
def test_the_bound_is_below_the_best_plan_there_is_and_the_plan_close_to_it(
    fleet: tuple[list[Job], Profiles], row: list[float], other: list[float], cap_w: float | None, speed: float
) -> None:
    case = a_fleet(fleet[0], (row, other), gpus=2, phases=fleet[1], cap_w=cap_w, speed=speed)
    found = planned(case)
    assert bool(found.reasons) == math.isinf(least_gco2e(case))
    only = replace(case, jobs=[job for job in case.jobs if job.id in found.segments])
    least = least_gco2e(only)
    assert found.certificate.lower_bound_gco2e <= least + 1e-6
    assert lower_bound(only.jobs, Rates.of(case)).lower_bound_gco2e <= least + 1e-6
    assert least - 1e-6 <= found.certificate.emissions_gco2e <= 1.05 * least + 1e-6


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(hour_phases(), intensities, intensities, st.floats(0.0, 2.0), st.floats(0.0, 3.0))
def test_a_job_alone_gets_the_very_place_that_one_job_gets(
    phases: tuple[Phase, ...], row: list[float], other: list[float], later_h: float, slack_h: float
) -> None:
    within_s = min(sum(one.duration_s for one in phases) + slack_h * HOUR_S, (HOURS - later_h) * HOUR_S)
    job = a_profiled_job("one", phases, earliest_s=MIDNIGHT_S + later_h * HOUR_S, within_s=within_s)
    case = a_fleet([job], (row, other), gpus=2, phases={"one": phases})
    curves = [a_curve(case.forecasts[one.name], pue=PUE) for one in case.regions]
    alone = cheapest_profiled_window(curves, phases, job.earliest_start_at_s, job.deadline_at_s)
    found = planned(case)
    assert (alone is None) == bool(found.reasons)
    if alone is not None:
        assert found.certificate.emissions_gco2e == pytest.approx(alone.emissions_gco2e)
        assert found.certificate.lower_bound_gco2e == pytest.approx(alone.emissions_gco2e)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.data(), intensities, intensities, st.sampled_from((None, 1200.0, 3000.0)), st.floats(0.4, 2.5))
def test_plans_keep_every_limit_and_are_what_they_say(
    data: st.DataObject, row: list[float], other: list[float], cap_w: float | None, speed: float
) -> None:
    jobs, profiles = data.draw(any_fleets())
    case = a_fleet(jobs, (row, other), gpus=3, phases=profiles, cap_w=cap_w, speed=speed)
    found = planned(case)
    assert flaws(case, found.segments) == ()
    assert [*broken_limits(case, found.segments), *broken_windows(case, found.segments)] == []
    assert found.certificate.emissions_gco2e == pytest.approx(counted_gco2e(case, found.segments))
    assert found.certificate.lower_bound_gco2e <= found.certificate.emissions_gco2e + 1e-6
    for name in profiles.keys() & found.segments.keys():
        pieces = found.segments[name]
        assert [one.power_w for one in pieces] == [phase.power_w for phase in profiles[name]]
        ratio = speed if pieces[0].region == "Z1" else 1.0
        lengths_s = [phase.duration_s / ratio for phase in profiles[name]]
        assert [one.duration_s for one in pieces] == pytest.approx(lengths_s, abs=1e-3)
        assert pieces[-1].end_at_s - pieces[0].start_at_s == pytest.approx(sum(lengths_s), abs=1e-3)


@st.composite
def any_fleets(draw: st.DrawFn) -> tuple[list[Job], Profiles]:
    jobs, profiles = [], dict[str, tuple[Phase, ...]]()
    for number in range(draw(st.integers(1, 6))):
        name, earliest_s = f"job-{number}", MIDNIGHT_S + draw(st.floats(0.0, 4 * HOUR_S))
        within_s, gpus = draw(st.floats(600.0, HOURS * HOUR_S)), draw(st.integers(1, 3))
        if draw(st.booleans()):
            lengths_s = draw(st.lists(st.floats(60.0, 3000.0), min_size=1, max_size=4))
            profiles[name] = tuple(
                Phase(duration_s=length_s, power_w=draw(st.floats(0.0, 1500.0))) for length_s in lengths_s
            )
            jobs.append(a_profiled_job(name, profiles[name], earliest_s=earliest_s, within_s=within_s, gpus=gpus))
        else:
            pause = draw(st.sampled_from((None, Interruption())))
            jobs.append(
                a_job(name, earliest_s=earliest_s, within_s=within_s, gpus=gpus, interruption=pause, power_w=700.0)
            )
    return jobs, profiles
