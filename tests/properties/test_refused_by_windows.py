"""What is proved by going through windows, beside plans that are known and beside trying every start.

A fleet is drawn as a plan: jobs at places that keep within capacity, with windows around them. So nobody must be
refused, and with so many more jobs no more than these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.alone.beside_refused import least_refused_beside
from scheduler.planning.whole_fleet.alone.left_out import least_left_out
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series
from tests.properties.test_fewest_refused import GPUS, HOURS, fewest_refused, tight_jobs

SPAN_H = 24.0
EFFORT, LITTLE = 3_000_000, 600_000


def a_case(jobs: Sequence[Job], regions: Sequence[int]) -> FleetCase:
    names = ("DE", "FR", "GB")[: len(regions)]
    hourly = {name: a_series(*[100.0] * int(SPAN_H), zone=name) for name in names}
    places = [a_region(name, gpus=gpus) for name, gpus in zip(names, regions, strict=True)]
    return FleetCase(jobs=jobs, regions=places, forecasts=hourly)


def planted(generator: np.random.Generator, gpus: int, regions: int) -> list[Job]:
    """Jobs cut out of the GPUs of each region: blocks side by side, each of one job, or of the parts of one."""
    jobs: list[Job] = []
    for _ in range(regions):
        at_h, most_h = 0.0, float(generator.choice((1.0, 3.0, 6.0)))
        while at_h < SPAN_H - 1.0:
            lasts_h = min(float(generator.uniform(0.2, most_h)), SPAN_H - at_h)
            free = gpus
            while free:
                width = int(generator.integers(1, free + 1))
                free -= width
                if generator.random() < 0.95:
                    jobs.append(_with_slack(len(jobs), at_h, lasts_h, width, generator))
            at_h += lasts_h
    return _joined(jobs, generator) if regions == 1 else jobs


def _with_slack(number: int, at_h: float, lasts_h: float, gpus: int, generator: np.random.Generator) -> Job:
    early_h, late_h = (float(generator.choice((0.0, 0.0, 0.5, 4.0))) for _ in range(2))
    earliest_h, finish_h = max(at_h - early_h, 0.0), min(at_h + lasts_h + late_h, SPAN_H)
    return a_job(
        f"job-{number}",
        duration_s=lasts_h * HOUR_S,
        earliest_s=MIDNIGHT_S + earliest_h * HOUR_S,
        within_s=(finish_h - earliest_h) * HOUR_S,
        gpus=gpus,
        interruption=Interruption() if generator.random() < 0.3 else None,
    )


def _joined(jobs: Sequence[Job], generator: np.random.Generator) -> list[Job]:
    """Pairs of equal width that follow each other made one job that pauses."""
    found: list[Job] = []
    for job in sorted(jobs, key=lambda one: (one.gpus, one.earliest_start_at_s)):
        last = found[-1] if found else None
        if last is not None and last.gpus == job.gpus and generator.random() < 0.2 and _are_apart(last, job):
            found[-1] = replace(
                last,
                duration_s=last.duration_s + job.duration_s,
                deadline_at_s=max(last.deadline_at_s, job.deadline_at_s),
                interruption=Interruption(),
            )
        else:
            found.append(job)
    return found


def _are_apart(one: Job, other: Job) -> bool:
    """Whether both can run one after the other wherever they were planted."""
    return one.deadline_at_s <= other.earliest_start_at_s


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 5), st.sampled_from((1, 1, 2)), st.integers(0, 2))
def test_no_more_is_proved_than_a_known_plan_refuses(seed: int, gpus: int, regions: int, more: int) -> None:
    generator = np.random.default_rng(seed)
    jobs = planted(generator, gpus, regions)
    extra = [
        _with_slack(len(jobs) + one, float(generator.uniform(0, 12)), float(generator.uniform(1, 12)), gpus, generator)
        for one in range(more)
    ]
    case = a_case([*jobs, *extra], (gpus,) * regions)
    for refused in (case.jobs, [*extra, case.jobs[0]]):
        assert least_refused_beside(case, refused, LITTLE) <= more


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(tight_jobs())
def test_what_windows_prove_is_what_the_best_plan_refuses(jobs: list[Job]) -> None:
    case = a_case(jobs, (GPUS,))
    proved, fewest = least_refused_beside(case, jobs, EFFORT), fewest_refused(jobs)
    assert max(proved, least_left_out(case, rounds=60).fewest) == fewest


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(tight_jobs(), tight_jobs())
def test_what_windows_prove_of_two_regions_is_no_more_than_the_best_plan_refuses(
    jobs: list[Job], more: list[Job]
) -> None:
    some = [*jobs[:5], *(replace(job, id=f"more-{job.id}") for job in more[:3])]
    proved = least_refused_beside(a_case(some, (GPUS, GPUS)), some, LITTLE)
    assert proved <= fewest_refused(some, ((GPUS,) * HOURS,) * 2)
