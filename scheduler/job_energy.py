"""What one piece of a job's run used, by the power the job states. Knows no meter and no intensity."""

from __future__ import annotations

from scheduler.jobs import Job
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.planning.plan import Region


def piece_use(
    job: Job, done_s: float, region: Region, home: Region, started_at_s: float, ended_at_s: float
) -> EnergyUse:
    """The energy of one piece by the job's stated power, beside the same piece run at once in its first region."""
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
