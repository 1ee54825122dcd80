"""Jobs after jobs: windows that follow from the order, plans that keep it, and what is refused for it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from scheduler.jobs import Job
from scheduler.planning.whole_fleet.choosing import ChosenPlan
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import run_now
from scheduler.planning.whole_fleet.objective import Objective, Site, Weights
from scheduler.planning.whole_fleet.rules.narrowing import plan_under
from scheduler.planning.whole_fleet.rules.precedence import After, Precedence, cycle_in, run_now_in_order
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def a_case(*jobs: Job, values: tuple[float, ...] = (300, 100, 200, 400, 50, 250), gpus: int = 2) -> FleetCase:
    return FleetCase(jobs=jobs, regions=[a_region(gpus=gpus)], forecasts={"DE": a_series(*values)})


def jobs_of(*names: str, within_h: float = 6, duration_h: float = 1) -> list[Job]:
    return [a_job(name, within_s=within_h * HOUR_S, duration_s=duration_h * HOUR_S) for name in names]


def planned(case: FleetCase, after: After) -> ChosenPlan:
    at_once = run_now_in_order(case, after)
    return plan_under(case, {"DE": Site()}, Objective(), [Precedence(after)], at_once, np.random.default_rng(0))


def hours(found: ChosenPlan) -> dict[str, float]:
    return {name: (one[0].start_at_s - MIDNIGHT_S) / HOUR_S for name, one in found.plan.segments.items()}


def test_a_job_runs_after_the_one_it_waits_for() -> None:
    # Alone both would take the hour at 50 g. In order the best is 100 g and then 50 g.
    found = planned(a_case(*jobs_of("train", "evaluate")), {"evaluate": ["train"]})
    assert hours(found) == {"train": 1, "evaluate": 4}
    assert found.plan.certificate.emissions_gco2e == pytest.approx(150)
    assert found.plan.certificate.lower_bound_gco2e <= 150


def test_a_chain_is_put_in_order() -> None:
    found = planned(a_case(*jobs_of("c", "b", "a")), {"b": ["a"], "c": ["b"]})
    assert hours(found) == {"a": 1, "b": 2, "c": 4}
    assert found.proof.emissions_gco2e == pytest.approx(350)


def test_waiting_for_another_job_is_waiting() -> None:
    case = a_case(*jobs_of("a", "b", within_h=3), values=(100, 100, 100))
    objective, after = Objective(weights=Weights(per_gco2e=1.0, per_waiting_kwh_h=10.0)), {"b": ["a"]}
    at_once = run_now_in_order(case, after)
    found = plan_under(case, {"DE": Site()}, objective, [Precedence(after)], at_once, np.random.default_rng(0))
    assert hours(found) == {"a": 0, "b": 1}
    assert found.components.waiting_kwh_h == pytest.approx(1)
    assert found.proof.emissions_gco2e == pytest.approx(210)
    assert found.proof.lower_bound_gco2e == pytest.approx(210)


def test_a_plan_without_order_is_left_as_it_is() -> None:
    case = a_case(*jobs_of("a", "b"))
    assert hours(planned(case, {})) == {"a": 4, "b": 4}
    assert run_now_in_order(case, {}) == run_now(case)


def test_windows_follow_from_the_order() -> None:
    jobs = {job.id: job for job in jobs_of("a", "b", "c", duration_h=1.5)}
    change = Precedence({"b": ["a"], "c": ["b"]}).prepared(jobs)
    spans = {
        name: ((job.earliest_start_at_s - MIDNIGHT_S) / HOUR_S, (job.deadline_at_s - MIDNIGHT_S) / HOUR_S)
        for name, job in change.jobs.items()
    }
    assert spans == {"a": (0, 3), "b": (1.5, 4.5), "c": (3, 6)}
    assert not change.refused


def test_a_job_that_the_others_leave_no_time_is_refused_and_so_is_what_comes_after_it() -> None:
    case = a_case(*jobs_of("a", "b", "c", "d", within_h=3.5, duration_h=1.5))
    found = planned(case, {"b": ["a"], "c": ["b"], "d": ["c"]})
    assert set(hours(found)) == {"a", "b"}
    assert found.plan.reasons["c"] == (
        "after: behind the jobs before it, it may begin at 2022-03-01T03:00:00Z at the earliest, and runs 1 h 30 min"
    )
    assert found.plan.reasons["d"] == "after: c does not run"
    assert found.plan.run_now.late == 2


def test_what_comes_after_a_job_that_no_region_can_run_is_refused() -> None:
    wide = a_job("wide", gpus=3, within_s=6 * HOUR_S)
    found = planned(a_case(wide, *jobs_of("next")), {"next": ["wide"]})
    assert found.plan.reasons["next"] == "after: wide does not run"
    assert found.plan.reasons["wide"].startswith("gpus: ")
    assert (found.plan.segments, found.plan.run_now.late) == ({}, 2)


def test_running_at_once_keeps_the_order() -> None:
    at_once = run_now_in_order(a_case(*jobs_of("b", "a", "c")), {"b": ["a"]})
    starts = {name: (one[0].start_at_s - MIDNIGHT_S) / HOUR_S for name, one in at_once.segments.items()}
    assert starts == {"a": 0, "b": 1, "c": 0}


@pytest.mark.parametrize(
    ("after", "circle"),
    [
        ({"b": ["a"]}, ()),
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["a"]}, ("a", "b", "a")),
    ],
)
def test_a_circle_is_found(after: After, circle: tuple[str, ...]) -> None:
    found = cycle_in(after)
    assert len(found) == len(circle)
    assert set(found) == set(circle)
    assert all(before in after[name] for name, before in pairwise(found))
