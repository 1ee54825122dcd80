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
