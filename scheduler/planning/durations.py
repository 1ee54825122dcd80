"""How long work of one label takes, learned from its past runs, and what a job is planned with because of it.

A run of `n` before it took at most as long as the k-th shortest of them with probability k/(n + 1), whatever the
distribution, if the runs are alike. So the quantile asked for is an order statistic, and it is known from the first
count of runs at which it lies among them (nine for 0.9); before that the declared duration stands alone. Runs are
compared by what they took as a share of what was declared, so that "a day this time" keeps its meaning. A job is never
planned with less than was declared, and its past never makes it infeasible. Knows no queue and no clock.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scheduler.jobs import Job, JobKind
from scheduler.planning.gpu_counts import speed_at

# Old runs are of old code; more would not move a quantile that is of any use.
MOST_RUNS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkKey:
    """Jobs that are expected to be alike."""

    tenant: str
    kind: JobKind
    template: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRuns:
    """By kind of work, what its successful runs took as a share of what was declared, oldest first."""

    took_ratio: Mapping[WorkKey, tuple[float, ...]] = field(default_factory=dict)


def key_of(job: Job) -> WorkKey | None:
    """None for a job without a label: nothing says that two of them are alike."""
    if not job.label:
        return None
    return WorkKey(tenant=job.tenant, kind=job.kind, template=job.template, label=job.label)


def run_s(job: Job, done_s: float, last_piece_s: float) -> float:
    """What the whole work took, without pauses, when its last piece began with `done_s` behind a checkpoint."""
    restore_s = job.interruption.restore_s if job.interruption is not None and done_s > 0 else 0.0
    return done_s + max(0.0, last_piece_s - restore_s)


def own_count_s(job: Job, gpus: int | None, done_s: float, last_piece_s: float) -> float:
    """What a last piece on so many GPUs would have taken on the job's own number of them."""
    restore_s = job.interruption.restore_s if job.interruption is not None and done_s > 0 else 0.0
    return min(last_piece_s, restore_s) + max(0.0, last_piece_s - restore_s) * speed_at(job, gpus)


def with_run(past: PastRuns, job: Job, took_s: float) -> PastRuns:
    """With one more successful run of `job`, which took `took_s`; as it is for a job without a label."""
    key = key_of(job)
    if key is None or not took_s > 0:
        return past
    ratios = (*past.took_ratio.get(key, ()), took_s / declared_s(job))[-MOST_RUNS:]
    return replace(past, took_ratio={**past.took_ratio, key: ratios})


def declared_s(job: Job) -> float:
    """The duration that the submitter named."""
    return job.duration_s if job.declared_duration_s is None else job.declared_duration_s


def duration_ratio(past: PastRuns, job: Job, quantile_ratio: float) -> float | None:
    """What the next run of this work takes at most, with that probability, as a share of what is declared.

    None where too few runs are known, and for a quantile of 0.
    """
    key = key_of(job)
    took: list[float] = []
    for one in past.took_ratio.get(key, ()) if key is not None else ():
        insort(took, one)
    place = math.ceil(quantile_ratio * (len(took) + 1) - 1e-9)
    return took[place - 1] if 0 < place <= len(took) else None


def guarded(past: PastRuns, job: Job, quantile_ratio: float) -> Job:
    """The job, planned with as long as runs like it take at that quantile, as far as its deadline leaves room."""
    ratio = duration_ratio(past, job, quantile_ratio)
    if ratio is None or ratio <= 1.0:
        return job
    declared = declared_s(job)
    room_s = job.deadline_at_s - job.earliest_start_at_s
    duration_s = max(declared, min(ratio * declared, room_s))
    return job if duration_s == declared else replace(job, duration_s=duration_s, declared_duration_s=declared)
