"""How a job reads on a terminal."""

from __future__ import annotations

from typing import Any

from slacktide.job_text import job_lines


def a_job(**fields: Any) -> dict[str, Any]:
    """A job as the daemon tells it, waiting without a plan; `fields` override."""
    told: dict[str, Any] = {
        "id": "job-1",
        "state": "waiting",
        "attempt": 0,
        "kind": "command",
        "template": "evaluate",
        "label": "nightly",
        "reason": "",
        "plan": None,
        "region": None,
        "started_at": None,
        "ended_at": None,
        "duration_s": 10800.0,
        "declared_duration_s": 10800.0,
        "gpus": 2,
        "power_w": 1400.0,
        "deadline": "2022-03-02T08:00:00Z",
        "submitted_at": "2022-03-01T18:00:00Z",
        "tenant": "default",
        "purpose": "production",
        "result": None,
    }
    return {**told, **fields}


def needs(job: dict[str, Any]) -> str:
    return next(line.split(maxsplit=1)[1] for line in job_lines(job) if line.strip().startswith("needs"))


def test_a_duration_is_told_as_declared() -> None:
    assert needs(a_job()) == "3 h, 2 GPUs, 1,400 W"


def test_a_duration_that_the_past_made_longer_is_told_with_what_was_declared() -> None:
    assert needs(a_job(duration_s=16200.0)) == "4 h 30 min as runs like it took (3 h declared), 2 GPUs, 1,400 W"


def test_a_daemon_that_does_not_tell_what_was_declared_is_read() -> None:
    job = a_job()
    del job["declared_duration_s"]
    assert needs(job) == "3 h, 2 GPUs, 1,400 W"


def test_one_gpu_is_one() -> None:
    assert needs(a_job(gpus=1)) == "3 h, 1 GPU, 1,400 W"


def test_a_job_that_was_started_says_where_its_log_is() -> None:
    failed = "\n".join(job_lines(a_job(state="failed", attempt=2, reason="exit code 2")))
    assert "  log        runs/logs/slacktide-job-1-2.log in the state folder" in failed
    assert "  log " not in "\n".join(job_lines(a_job()))


def test_a_job_that_waits_for_its_budget_says_so() -> None:
    asked = {"earliest_start": "2022-01-02T00:00:00Z", "asked_earliest_start": "2022-01-01T08:00:00Z"}
    said = "  budget     pays from 2022-01-02 00:00Z; asked for from 2022-01-01 08:00Z"
    assert said in list(job_lines(a_job(**asked)))
    assert not any("budget" in line for line in job_lines(a_job(asked_earliest_start=None)))


def test_a_plan_by_an_objective_says_what_that_comes_to() -> None:
    segment = {"start": "2022-01-02T00:00:00Z", "end": "2022-01-02T01:00:00Z", "region": "here"}
    plan = {"segments": [segment], "start": segment["start"], "end": segment["end"], "emissions_gco2e": 400.0}
    plan |= {"savings_ratio": 0.2, "value": 0.1, "value_savings_ratio": 2 / 3}
    (line,) = (one for one in job_lines(a_job(plan=plan)) if one.startswith("  expected"))
    assert line.endswith(
        "400 gCO2e, 20% saved against starting at once (forecast); objective 0.1, 67% less than at once"
    )


def test_a_power_from_a_profile_is_told_with_its_band() -> None:
    assert needs(a_job(power_band_w={"low": 1083.8, "high": 1808.5})).endswith("1,400 W, between 1,084 and 1,808 (80%)")


def test_the_expected_grams_of_such_a_job_have_one_too() -> None:
    plan = {
        "start": "2022-03-01T20:00:00Z",
        "end": "2022-03-01T23:00:00Z",
        "segments": [{"region": "here"}],
        "emissions_gco2e": 1000.0,
        "emissions_band_gco2e": {"low": 774.1, "high": 1291.8},
        "savings_ratio": 0.25,
    }
    told = "\n".join(job_lines(a_job(plan=plan)))
    assert "1,000 gCO2e, between 774 and 1,292 (80%), 25% saved against starting at once (forecast)" in told
