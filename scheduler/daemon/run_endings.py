"""The runs of this daemon, and what becomes of them on record: start, end or loss, and the energy they used.

What is written is durable before the engine is told. Decides nothing: what a loss leads to is the engine's rule.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scheduler.events import Event, Outcome, RunFinished, RunLost, RunPaused
from scheduler.job_energy import piece_uses
from scheduler.jobs import Job, JobKind, counts_as_loss, done_after_pause_s
from scheduler.launchers.contract import Ending, RunEnded
from scheduler.ledger import EnergyUse
from scheduler.planning.gpu_counts import speed_at
from scheduler.planning.plan import Region, Segment
from scheduler.store.contract import Claim, JobRecord, Store

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class HeldRun:
    """A run of this daemon."""

    job: Job
    attempt: int
    token: int
    region: str
    done_s: float
    gpus: int | None = None  # what an elastic job was given
    started_at_s: float | None = None


def held_by(job: Job, claim: Claim, region: str, gpus: int | None, started_at_s: float | None) -> HeldRun:
    return HeldRun(
        job=job,
        attempt=claim.attempt,
        token=claim.token,
        region=region,
        done_s=claim.done_s,
        gpus=gpus,
        started_at_s=started_at_s,
    )


def lasted_to_success_s(held: HeldRun, ended: RunEnded) -> float | None:
    """How long a run took that succeeded; None for others, and where nobody saw both ends."""
    has_succeeded = ended.ending is Ending.EXITED and ended.has_succeeded
    if not has_succeeded or held.started_at_s is None or ended.ended_at_s is None:
        return None
    return ended.ended_at_s - held.started_at_s


def uses_of(held: HeldRun, ended: RunEnded, known: Iterable[Region]) -> list[EnergyUse]:
    """What is booked of a run that has ended, beside its job at once in its home; `known` are the settings' regions."""
    if held.started_at_s is None or ended.ended_at_s is None or ended.ended_at_s <= held.started_at_s:
        return []  # nobody saw how long it ran: not booked, and not booked as zero
    if held.job.kind is JobKind.INFERENCE_BATCH:
        return []  # its requests are booked one by one at the gateway
    regions = {region.name: region for region in known}
    if (region := regions.get(held.region)) is None:
        log.warning("use not booked", extra={"action": "use_unknown_region", "job": held.job.id})
        return []  # the region was taken out of the settings, and its grid with it
    home = _home(held.job, regions) or region
    piece = Segment(
        start_at_s=held.started_at_s,
        end_at_s=ended.ended_at_s,
        region=region.name,
        gpus=held.gpus,
    )
    uses = piece_uses(held.job, held.done_s, home, region, piece)
    return [use for use in uses if math.isfinite(use.energy_kwh)]


def _home(job: Job, regions: Mapping[str, Region]) -> Region | None:
    """Where it would have run at once: its first region that is still there."""
    return next((regions[name] for name in job.regions or regions if name in regions), None)


def write_end(store: Store, held: HeldRun, ended: RunEnded, now_s: float) -> Event:
    """The end of a run made durable, and the event that tells the engine."""
    job_id, attempt, token = held.job.id, held.attempt, held.token
    match ended.ending:
        case Ending.EXITED:
            outcome = Outcome.SUCCEEDED if ended.has_succeeded else Outcome.FAILED
            result = {"exit_code": ended.exit_code, "run": ended.run_id}
            reason = "" if ended.has_succeeded else ended.problem or f"exit code {ended.exit_code}"
            store.finish(job_id, token, outcome=outcome, now_s=now_s, result=result, reason=reason)
            return RunFinished(at_s=now_s, job_id=job_id, attempt=attempt, outcome=outcome)
        case Ending.PAUSED:
            ran_s = 0.0 if held.started_at_s is None else (ended.ended_at_s or now_s) - held.started_at_s
            done_s = done_after_pause_s(held.job, held.done_s, ran_s, speed_at(held.job, held.gpus))
            store.pause(job_id, token, done_s=done_s, now_s=now_s)
            return RunPaused(at_s=now_s, job_id=job_id, attempt=attempt, done_s=done_s)
        case Ending.STOPPED | Ending.LOST:
            store.lose(job_id, token, now_s=now_s, reason=ended.problem or "its run was lost")
            return RunLost(at_s=now_s, job_id=job_id, attempt=attempt)


def write_start(store: Store, claim: Claim, started_at_s: float) -> JobRecord:
    store.started(claim.job_id, claim.token, now_s=started_at_s)
    return store.job(claim.job_id)


def never_began(record: JobRecord, ended: RunEnded) -> bool:
    """Whether the daemon died while it handed the run over: neither side saw it start."""
    return ended.ending is Ending.LOST and ended.started_at_s is None and record.standing.started_at_s is None


def write_loss(store: Store, record: JobRecord, now_s: float, reason: str) -> JobRecord:
    """Nobody was told to start it, it was not started, or the launcher's files are gone."""
    job_id, held = record.job.id, record.standing
    is_counted = counts_as_loss(held.attempt, was_seen=held.started_at_s is not None)
    store.lose(job_id, held.token, now_s=now_s, reason=reason, is_counted=is_counted)
    return store.job(record.job.id)
