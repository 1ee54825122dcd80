"""A daemon's uses of energy as the work of a scenario."""

from __future__ import annotations

from typing import Any

from scheduler.config import Settings, validate
from scheduler.jobs import JobKind
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from simulations.replay import past_jobs, past_traffic, scenario_tables
from tests.stores import a_job

START_S = 1_000_000.0


def a_use(subject: Subject, subject_id: str, started_s: float, ended_s: float, **changed: Any) -> EnergyUse:
    fields: dict[str, Any] = {
        "category": "interactive",
        "tenant": "default",
        "region": "here",
        "zone": "DE",
        "energy_kwh": 1.0,
        "basis": EnergyBasis.MODELLED,
        "pue": 1.2,
        "at_once_at_s": START_S + started_s,
        "at_once_zone": "DE",
        "at_once_pue": 1.2,
    }
    fields |= {"started_at_s": START_S + started_s, "ended_at_s": START_S + ended_s}
    return EnergyUse(subject=subject, subject_id=subject_id, **(fields | changed))


def a_call(arrived_s: float, **changed: Any) -> EnergyUse:
    """Served a minute after it came."""
    tokens = {"model": "small", "prompt_tokens": 100, "output_tokens": 20}
    at_s = START_S + arrived_s
    return a_use(Subject.REQUEST, "r", arrived_s + 60.0, arrived_s + 61.0, at_once_at_s=at_s, **(tokens | changed))


def the_settings() -> Settings:
    return validate(
        {
            "region": [{"name": "here", "zone": "DE", "gpus": 8}],
            "worker": [{"url": f"http://h{n}", "models": ["small"], "region": "here", "gpus": 2} for n in (1, 2)],
        }
    )


def test_a_job_took_as_long_as_its_pieces_together() -> None:
    job = a_job(
        "a", submitted_at_s=START_S + 5.0, earliest_start_at_s=START_S + 5.0, deadline_at_s=START_S + 9005.0, gpus=4
    )
    uses = [a_use(Subject.JOB, "a", 100.0, 400.0), a_use(Subject.JOB, "a", 900.0, 1000.0)]

    (past,) = past_jobs([job], uses, START_S)

    assert (past.submit_s, past.duration_s, past.gpus) == (5.0, 400.0, 4)
    assert past.slack_s == 9000.0 - 3600.0  # of the run time it was submitted with
    assert past.power_per_gpu_w == 175.0


def test_a_job_that_left_no_trace_or_holds_no_gpu_is_not_run_again() -> None:
    jobs = [a_job("unused"), a_job("no-gpu", gpus=0), a_job("batch", kind=JobKind.INFERENCE_BATCH)]
    uses = [a_use(Subject.JOB, one, 0.0, 60.0) for one in ("no-gpu", "batch")]

    assert past_jobs(jobs, uses, START_S) == []


def test_requests_come_when_they_came_and_not_when_they_were_served() -> None:
    calls = [a_call(50.0, category="flex"), a_call(10.0), a_call(20.0, output_tokens=0), a_call(1e9)]

    (traffic,) = past_traffic(calls, START_S, START_S + 86_400.0)

    assert [one.arrival_s for one in traffic.requests] == [10.0, 50.0]
    assert traffic.flex_ratio == 0.5


def test_a_pool_stands_in_its_region_with_the_workers_of_the_settings() -> None:
    (traffic,) = past_traffic([a_call(0.0)], START_S, START_S + 1.0)

    tables: Any = scenario_tables(the_settings(), START_S, "grid.csv", [], {"r.csv": traffic})

    assert tables["region"] == [{"name": "here", "zone": "DE", "gpus": 8 + 2 * 2, "pue": 1.2}]
    assert (tables["requests"][0]["workers"], tables["requests"][0]["gpus_per_worker"]) == (2, 2)
    assert tables["jobs"] == []


def test_a_model_that_nobody_serves_any_more_is_left_out() -> None:
    (traffic,) = past_traffic([a_call(0.0, model="gone")], START_S, START_S + 1.0)

    tables: Any = scenario_tables(the_settings(), START_S, "grid.csv", [], {"r.csv": traffic})

    assert tables["requests"] == []
