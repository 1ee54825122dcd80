"""The phases of a job whose power changes along its run, at the instants of one run. Knows no place and no carbon.

A job is planned as one piece; what it draws in the piece follows from its phases. They stretch with the duration that
it is planned with, and a run that outlasts them stays in the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scheduler.jobs import Job, Phase
from scheduler.planning.plan import Segment


def phases_of(job: Job) -> tuple[Phase, ...]:
    """In turn; together they last for the job's duration. Empty for a job of one power."""
    if not job.power_profile:
        return ()
    ratio = job.duration_s / sum(phase.duration_s for phase in job.power_profile)
    return tuple(replace(phase, duration_s=phase.duration_s * ratio) for phase in job.power_profile)


def in_phases(job: Job, segments: Sequence[Segment]) -> Sequence[Segment]:
    """The pieces of a job cut where its power changes; as they are for a job of one power, and where they are cut."""
    if not job.power_profile or all(one.power_w is not None for one in segments):
        return segments
    return tuple(part for one in segments for part in _cut(phases_of(job), one))


def most_w(job: Job) -> float:
    """The most that the job draws at any instant of its run."""
    return max((phase.power_w for phase in job.power_profile), default=job.power_w)


def _cut(phases: Sequence[Phase], run: Segment) -> Iterator[Segment]:
    from_s = run.start_at_s
    for place, phase in enumerate(phases):
        is_last = place == len(phases) - 1
        to_s = run.end_at_s if is_last else min(from_s + phase.duration_s, run.end_at_s)
        if to_s > from_s:
            yield replace(run, start_at_s=from_s, end_at_s=to_s, power_w=phase.power_w)
        from_s = to_s
