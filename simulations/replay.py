"""A daemon's own past as a scenario: its jobs and requests, as they came and as long as they took.

Only what ran to its end can be run again. Jobs keep the slack they had and the power they were said to draw; requests
their tokens. Knows no database and no file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.config import Settings
from scheduler.jobs import Job, JobKind
from scheduler.ledger import EnergyUse, Subject
from scheduler.quantities import format_instant
from scheduler.worker_settings import WorkerSettings

FLEX_CATEGORY = "flex"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastJob:
    """One job that ended well. `submit_s` counts from the start of the scenario."""

    submit_s: float
    duration_s: float
    gpus: int
    slack_s: float
    power_per_gpu_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    arrival_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTraffic:
    """All requests of one model in one region."""

    model: str
    region: str
    requests: Sequence[PastRequest]
    flex_ratio: float


def past_jobs(jobs: Iterable[Job], uses: Iterable[EnergyUse], start_at_s: float) -> list[PastJob]:
    """Jobs with the time that their pieces took in all; one that left no use, or holds no GPU, is not among them."""
    ran_s: dict[str, float] = defaultdict(float)
    for use in uses:
        if use.subject is Subject.JOB:
            ran_s[use.subject_id] += use.at_once_end_at_s - use.at_once_at_s  # on its own number of GPUs
    found = [
        PastJob(
            submit_s=job.submitted_at_s - start_at_s,
            duration_s=ran_s[job.id],
            gpus=job.gpus,
            slack_s=max(0.0, job.slack_s),
            power_per_gpu_w=job.power_w / job.gpus,
        )
        for job in jobs
        if job.gpus and job.kind is not JobKind.INFERENCE_BATCH and ran_s.get(job.id)
    ]
    return sorted(found, key=lambda one: one.submit_s)


def past_traffic(uses: Iterable[EnergyUse], start_at_s: float, end_at_s: float) -> Iterator[PastTraffic]:
    """Requests that came in that time by model and region; one whose tokens were not counted is not among them."""
    pools: dict[tuple[str, str], list[EnergyUse]] = defaultdict(list)
    for use in uses:
        is_counted = use.subject is Subject.REQUEST and use.prompt_tokens > 0 and use.output_tokens > 0
        if is_counted and start_at_s <= use.at_once_at_s < end_at_s:
            pools[use.model, use.region].append(use)
    for (model, region), found in sorted(pools.items()):
        yield PastTraffic(
            model=model,
            region=region,
            requests=sorted((_request(use, start_at_s) for use in found), key=lambda one: one.arrival_s),
            flex_ratio=sum(use.category == FLEX_CATEGORY for use in found) / len(found),
        )


def _request(use: EnergyUse, start_at_s: float) -> PastRequest:
    return PastRequest(
        arrival_s=use.at_once_at_s - start_at_s, prompt_tokens=use.prompt_tokens, output_tokens=use.output_tokens
    )


def scenario_tables(
    settings: Settings,
    start_at_s: float,
    grid: str,
    jobs: Sequence[PastJob],
    traffic: Mapping[str, PastTraffic],
) -> dict[str, object]:
    """A scenario's tables; `traffic` by the name of its file. A model that no worker serves any more is left out."""
    pools = {file: (one, _workers(settings, one)) for file, one in traffic.items()}
    return {
        "name": f"replay-{format_instant(start_at_s)[:10]}",
        "description": "What a daemon did, as a what-if. Change a value, or set it: slacktide simulate FILE --set ...",
        "start": format_instant(start_at_s),
        "grid": {"trace": grid},
        "region": [
            {
                "name": one.name,
                "zone": one.zone,
                "gpus": one.gpus + _gpus(pools.values(), one.name),
                "pue": one.pue,
                **({} if one.power_cap_kw is None else {"power_cap_kw": one.power_cap_kw}),
            }
            for one in settings.region
        ],
        "requests": [
            _requests(file, one, workers, place)
            for place, (file, (one, workers)) in enumerate(pools.items())
            if workers
        ],
        "jobs": [{"name": "jobs", "trace": "jobs.csv", "recorded_slack_ratio": 1.0}] if jobs else [],
    }


def _workers(settings: Settings, one: PastTraffic) -> list[WorkerSettings]:
    return [worker for worker in settings.worker if one.model in worker.models and worker.region == one.region]


def _gpus(pools: Iterable[tuple[PastTraffic, list[WorkerSettings]]], region: str) -> int:
    """In a scenario the GPUs of the workers are the region's; in the settings of a daemon they stand beside it."""
    return sum(worker.gpus for traffic, workers in pools if traffic.region == region for worker in workers)


def _requests(file: str, one: PastTraffic, workers: Sequence[WorkerSettings], place: int) -> dict[str, object]:
    return {
        "name": f"{one.model}-{place}",
        "trace": file,
        "region": one.region,
        "model": workers[0].profile or one.model,
        "gpu": workers[0].gpu,
        "gpus_per_worker": workers[0].gpus,
        "workers": len(workers),
        "max_sequences": workers[0].max_sequences,
        "flex_ratio": round(one.flex_ratio, 4),
    }
