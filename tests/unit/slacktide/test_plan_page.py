"""The page of a plan: nothing is drawn on top of something else, every bar leads to its row, every job has a reason."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.reasons.kept_rules import FleetRules
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from slacktide.plan_gantt import lanes_of, load_of
from slacktide.plan_page import plan_page, saved_ratio
from slacktide.plan_told import Told, told_of
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def some_jobs(count: int) -> list[Job]:
    drawn = np.random.default_rng(4)
    return [
        a_job(
            f"job-{number}",
            duration_s=float(drawn.integers(1, 12)) * 900,
            earliest_s=MIDNIGHT_S + float(drawn.integers(0, 8)) * HOUR_S,
            within_s=float(drawn.integers(3, 14)) * HOUR_S,
            gpus=int(drawn.integers(1, 5)),
            interruption=Interruption() if number % 3 == 0 else None,
        )
        for number in range(count)
    ]


def told(*jobs: Job, gpus: int = 4) -> Told:
    hours = np.arange(24)
    case = FleetCase(
        jobs=jobs,
        regions=[a_region("DE", gpus=gpus), a_region("FR", gpus=gpus)],
        forecasts={
            "DE": a_series(*(400 + 200 * np.cos(hours / 4))),
            "FR": a_series(*(90 + 20 * np.sin(hours / 4)), zone="FR"),
        },
    )
    return told_of(plan_fleet(case, np.random.default_rng(0)), FleetRules(), needs_all=True)


@pytest.fixture(scope="module")
def crowd() -> Told:
    return told(*some_jobs(14), gpus=3)


@pytest.mark.slow
def test_each_job_is_drawn_on_gpus_of_its_own(crowd: Told) -> None:
    for region in crowd.plan.case.regions:
        jobs = [job for job in crowd.plan.case.jobs if job.id in crowd.plan.segments]
        drawn = [piece for pieces in lanes_of(region, jobs, crowd.plan.segments).values() for piece in pieces]
        assert max((first + count for _, first, count in drawn), default=0) <= region.gpus
        for (one, first, count), (other, other_first, other_count) in combinations(drawn, 2):
            apart_in_time = one.end_at_s <= other.start_at_s + 1e-3 or other.end_at_s <= one.start_at_s + 1e-3
            assert apart_in_time or first + count <= other_first or other_first + other_count <= first


@pytest.mark.slow
def test_all_gpus_of_a_job_are_drawn(crowd: Told) -> None:
    gpus = {job.id: job.gpus for job in crowd.plan.case.jobs}
    for region in crowd.plan.case.regions:
        jobs = [job for job in crowd.plan.case.jobs if job.id in crowd.plan.segments]
        for name, pieces in lanes_of(region, jobs, crowd.plan.segments).items():
            for segment in {one for one, _, _ in pieces}:
                assert sum(count for one, _, count in pieces if one == segment) == gpus[name]


def test_the_load_is_what_the_jobs_hold() -> None:
    found = told(a_job("a", gpus=2, within_s=HOUR_S, regions=("DE",)), a_job("b", within_s=HOUR_S, regions=("DE",)))
    edges, held = load_of(a_region("DE", gpus=4), {"a": 2, "b": 1}, found.plan.segments)
    assert (edges.tolist(), held.tolist()) == ([MIDNIGHT_S, MIDNIGHT_S + HOUR_S], [3.0])
    assert len(load_of(a_region("FR"), {"a": 2, "b": 1}, found.plan.segments)[0]) == 0


@pytest.mark.slow
def test_the_pale_edge_of_bars_does_not_hide_a_short_job() -> None:
    short = plan_page(told(a_job("short", duration_s=60)))
    long = plan_page(told(a_job("long", duration_s=6 * HOUR_S)))
    assert 'style="stroke-width:0"' in short
    assert 'style="stroke-width:0"' not in long


@pytest.mark.slow
def test_every_bar_leads_to_the_row_of_its_job(crowd: Told) -> None:
    page = plan_page(crowd)
    rows = set(re.findall(r'<tr id="([^"]+)"', page))
    assert len(rows) == 14
    assert set(re.findall(r'<a href="#(job-\d+)"', page)) <= rows
    drawn = set(re.findall(r'<a href="#(job-\d+)"', page))
    assert len(drawn) == len(crowd.plan.segments)


@pytest.mark.slow
def test_every_job_has_its_reason_and_refused_ones_what_would_help(crowd: Told) -> None:
    assert crowd.plan.reasons, "the case is meant to have one"
    page = plan_page(crowd)
    assert page.count("<details>") == len(crowd.plan.segments)
    assert page.count('class="refused"><th') == len(crowd.plan.reasons)
    assert f"{len(crowd.plan.reasons)} refused" in page


def test_the_saving_is_over_the_jobs_that_are_planned() -> None:
    # At once in DE at 600; the best of a day is far below.
    found = told(a_job("a", regions=("DE",)), a_job("wide", gpus=9))
    plan = found.plan
    assert saved_ratio(found) == pytest.approx(1 - plan.certificate.emissions_gco2e / 600)


def test_a_plan_without_jobs_and_one_of_refused_jobs_are_pages_too() -> None:
    assert "The file has no jobs." in plan_page(told())
    page = plan_page(told(a_job("wide", gpus=9)))
    assert "Plan of 0 of 1 job" in page
    assert "<svg" not in page


def test_a_fleet_far_larger_than_its_jobs_stays_a_picture() -> None:
    page = plan_page(told(a_job("small"), gpus=1_000_000))
    assert "a row for each of 1 of 1,000,000 GPUs" in page
