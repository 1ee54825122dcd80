"""What one piece of a job's run used, by the power the job states. Knows no meter and no intensity."""

from __future__ import annotations

from dataclasses import replace

from scheduler.jobs import Job
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.planning.gpu_counts import at_count, speed_at
from scheduler.planning.plan import Region, Segment, power_w_of
from scheduler.planning.run_phases import in_phases


def piece_uses(job: Job, done_s: float, home: Region, region: Region, piece: Segment) -> list[EnergyUse]:
    """What a piece used, a use for each of the job's phases in it: constant power over one interval.

    `home` is where it would have run at once, `region` where it ran. At once an elastic job does the same work on its
    own number of GPUs.
    """
    if job.elastic and piece.gpus not in (None, job.gpus):
        return [_elastic_use(job, done_s, home, region, piece)]
    parts = in_phases(job, (piece,))
    return [
        piece_use(
            replace(job, power_w=power_w_of(job, part)),
            done_s + part.start_at_s - piece.start_at_s,
            region,
            home,
            part.start_at_s,
            part.end_at_s,
        )
        for part in parts
    ]


def _elastic_use(job: Job, done_s: float, home: Region, region: Region, piece: Segment) -> EnergyUse:
    plain, speed = at_count(job, piece.gpus), speed_at(job, piece.gpus)
    use = piece_use(plain, done_s, region, home, piece.start_at_s, piece.end_at_s)
    lasted_s = piece.duration_s * speed
    return replace(use, at_once_energy_kwh=job.power_w / 1000.0 * lasted_s / 3600.0, at_once_lasted_s=lasted_s)


def piece_use(
    job: Job, done_s: float, region: Region, home: Region, started_at_s: float, ended_at_s: float
) -> EnergyUse:
    """The energy of one piece by the job's mean power, beside the same piece run at once in its first region."""
    return EnergyUse(
        subject=Subject.JOB,
        subject_id=job.id,
        category=job.purpose,
        tenant=job.tenant,
        region=region.name,
        zone=region.zone,
        started_at_s=started_at_s,
        ended_at_s=ended_at_s,
        energy_kwh=job.power_w / 1000.0 * (ended_at_s - started_at_s) / 3600.0,
        basis=EnergyBasis.MODELLED,
        pue=region.pue,
        at_once_at_s=job.earliest_start_at_s + done_s,
        at_once_zone=home.zone,
        at_once_pue=home.pue,
    )
