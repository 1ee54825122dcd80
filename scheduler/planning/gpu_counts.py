"""An elastic job on each number of GPUs that its speed was measured on: as the plain job that it is there.

In a daemon a run has one number of GPUs from its start to its end. So an elastic job is a choice between plain jobs:
each lasts its work over the speed of its number, at so many times the power of one GPU. Work is counted in seconds on
the job's own number of GPUs. Decides no number; knows no place and no carbon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.plan import Segment


def at_count(job: Job, gpus: int | None) -> Job:
    """The plain job that it is on so many GPUs, by default its own number; any other job as it is."""
    if not job.elastic:
        return job
    count = job.gpus if gpus is None else gpus
    return replace(
        job,
        gpus=count,
        duration_s=job.duration_s / speed_at(job, count),
        power_w=power_at_w(job, count),
        elastic=(),
    )


def speed_at(job: Job, gpus: int | None) -> float:
    """Work done per second on so many GPUs, beside its own number of them."""
    if not job.elastic or gpus is None:
        return 1.0
    speeds = dict(job.elastic)
    return speeds[gpus] / speeds[job.gpus]


def power_at_w(job: Job, gpus: int) -> float:
    """Of as many GPUs with their share of the host."""
    return job.power_w * gpus / job.gpus


def on_count(segments: Sequence[Segment], plain: Job) -> tuple[Segment, ...]:
    """The pieces of a plain job as those of the elastic job that it is made of."""
    return tuple(replace(one, gpus=plain.gpus, power_w=plain.power_w) for one in segments)
