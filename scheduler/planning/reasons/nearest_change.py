"""The nearest change of a job that cannot be planned after which it can: a later finish, another region, fewer GPUs.

Every change is tried before it is told: `is_feasible` plans the changed job. A change is the nearest of its kind: one
minute less, or one GPU more, was tried too and does not help. Two changes at once are told only where no single one
helps. Decides which changes are worth telling; knows no fleet and no plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Region
from scheduler.planning.run_phases import most_w

# Times are told to the minute.
STEP_S = 60.0
# A finish so much later, or a start so much earlier, is another job.
MOST_MOVED_S = 14 * 86_400.0
# So many other regions are told, and so many sizes tried.
MOST_REGIONS, MOST_SIZES = 3, 64

Feasible = Callable[[Job], bool]


class ChangeKind(StrEnum):
    """What of the job would be another."""

    FINISH_BY = "finish_by"
    REGIONS = "regions"
    GPUS = "gpus"
    EARLIEST_START = "earliest_start"
    INTERRUPTIBLE = "interruptible"
    GPU_TYPES = "gpu_types"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The job as it was asked for and as it could be planned; they differ in what `kinds` name.

    With fewer GPUs it runs longer, so that its GPU time and its energy stay. `types` are those of GPU that it may then
    run on, `asked_types` those that it was asked for with.
    """

    kinds: tuple[ChangeKind, ...]
    asked: Job
    changed: Job
    types: tuple[str, ...] = ()
    asked_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTypes:
    """The job as it would be, were it allowed on one type of GPU more."""

    job: Job
    types: tuple[str, ...]
    asked_types: tuple[str, ...]


def nearest_changes(
    job: Job,
    regions: Sequence[Region],
    is_feasible: Feasible,
    *,
    not_before_s: float,
    first_finish_s: float | None = None,
    has_one_size: bool = True,
    other_types: Sequence[OtherTypes] = (),
) -> list[Change]:
    """Changes that make the job feasible, the nearest of each kind; empty when not even two at once do.

    `first_finish_s` is a guess at the first finish that has room, tried before anything is searched. Nothing may start
    before `not_before_s`. Without `has_one_size` neither its GPUs nor its pauses are the job's to change: its power or
    its number of GPUs changes along the run.
    """
    single: tuple[tuple[ChangeKind, Job | None], ...] = (
        (ChangeKind.FINISH_BY, _later(job, is_feasible, first_finish_s)),
        *((ChangeKind.REGIONS, one) for one in _elsewhere(job, regions) if is_feasible(one)),
        (ChangeKind.GPUS, _first_feasible(_narrower(job, regions) if has_one_size else (), is_feasible)),
        (ChangeKind.EARLIEST_START, _earlier(job, is_feasible, not_before_s)),
        (ChangeKind.INTERRUPTIBLE, _first_feasible(_pausing(job) if has_one_size else (), is_feasible)),
    )
    found = [Change(kinds=(kind,), asked=job, changed=one) for kind, one in single if one is not None]
    found += [_of_types(job, one) for one in other_types if is_feasible(one.job)]
    return _fewer_regions(found) if found else list(_with_a_later_finish(job, regions, is_feasible, has_one_size))


def _of_types(job: Job, other: OtherTypes) -> Change:
    kinds = (ChangeKind.GPU_TYPES,)
    return Change(kinds=kinds, asked=job, changed=other.job, types=other.types, asked_types=other.asked_types)


def with_gpus(job: Job, gpus: int) -> Job:
    """The same work on so many GPUs: as much longer as they are fewer, at the power of each.

    Jobs lose nothing, or gain, per GPU on fewer of them, so the run is no longer than this.
    """
    ratio = gpus / job.gpus
    phases = tuple(
        replace(one, duration_s=one.duration_s / ratio, power_w=one.power_w * ratio) for one in job.power_profile
    )
    return replace(job, gpus=gpus, duration_s=job.duration_s / ratio, power_w=job.power_w * ratio, power_profile=phases)


def _later(job: Job, is_feasible: Feasible, first_finish_s: float | None) -> Job | None:
    """The first minute by which it can be finished."""

    def finishing(minute: int) -> bool:
        return is_feasible(replace(job, deadline_at_s=minute * STEP_S))

    asked = math.floor(job.deadline_at_s / STEP_S)
    most = math.floor((job.deadline_at_s + MOST_MOVED_S) / STEP_S)
    guesses = [] if first_finish_s is None else [math.ceil(first_finish_s / STEP_S - 1e-9)]
    found = _first(finishing, asked, most, guesses)
    return None if found is None else replace(job, deadline_at_s=found * STEP_S)


def _earlier(job: Job, is_feasible: Feasible, not_before_s: float) -> Job | None:
    """The last minute from which on it has to be let start."""

    def starting(minutes_back: int) -> bool:
        return is_feasible(replace(job, earliest_start_at_s=(asked - minutes_back) * STEP_S))

    asked = math.ceil(job.earliest_start_at_s / STEP_S)
    most = min(asked - math.ceil(not_before_s / STEP_S), math.floor(MOST_MOVED_S / STEP_S))
    if most < 1:
        return None
    found = _first(starting, 0, most, [])
    return None if found is None else replace(job, earliest_start_at_s=(asked - found) * STEP_S)


def _first(holds: Callable[[int], bool], fails_at: int, most: int, guesses: Sequence[int]) -> int | None:
    """A number in (fails_at, most] that holds while the one before it does not; None when `most` does not hold.

    Both were tried, whatever the shape between: so it is the nearest, or nothing between it and the next that fails.
    """
    for guess in guesses:
        if fails_at < guess <= most and holds(guess):
            if not (guess - 1 > fails_at and holds(guess - 1)):
                return guess
            most = guess - 1
    if most <= fails_at or not holds(most):
        return None
    low, high = fails_at, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _with_a_later_finish(
    job: Job, regions: Sequence[Region], is_feasible: Feasible, has_one_size: bool
) -> Iterator[Change]:
    """Where the job cannot be as it is at any time: the widest that fits, or another region, and time enough there."""
    narrower = next(_narrower(job, regions), None) if has_one_size else None
    tries = [(ChangeKind.GPUS, narrower)] if narrower is not None else []
    tries += [(ChangeKind.REGIONS, one) for one in _elsewhere(job, regions)]
    for kind, one in tries:
        later = _later(one, is_feasible, one.earliest_start_at_s + one.duration_s)
        if later is not None:
            yield Change(kinds=(kind, ChangeKind.FINISH_BY), asked=job, changed=later)
            return


def _fewer_regions(changes: Sequence[Change]) -> list[Change]:
    told = [one for one in changes if one.kinds == (ChangeKind.REGIONS,)][:MOST_REGIONS]
    return [one for one in changes if one.kinds != (ChangeKind.REGIONS,) or one in told]


def _first_feasible(jobs: Iterable[Job], is_feasible: Feasible) -> Job | None:
    return next((one for one in jobs if is_feasible(one)), None)


def _elsewhere(job: Job, regions: Sequence[Region]) -> Iterator[Job]:
    """With one region more, in the fleet's order."""
    if job.regions:
        others = (region.name for region in regions if region.name not in job.regions)
        yield from (replace(job, regions=(*job.regions, name)) for name in others)


def _narrower(job: Job, regions: Sequence[Region]) -> Iterator[Job]:
    """On fewer GPUs, no more than some allowed region has, the most first; an elastic job says itself on how many."""
    if job.elastic:
        return
    allowed = [region for region in regions if not job.regions or region.name in job.regions]
    most = min(job.gpus - 1, max((_powered_gpus(job, region) for region in allowed), default=0))
    yield from (with_gpus(job, gpus) for gpus in range(most, max(0, most - MOST_SIZES), -1))


def _powered_gpus(job: Job, region: Region) -> int:
    """On how many GPUs it could run there alone, for their number and for the power cap."""
    if region.power_cap_w is None or not job.power_w > 0:
        return region.gpus
    share_ratio = region.power_cap_w / (most_w(job) * region.facility_ratio)
    return min(region.gpus, math.floor(job.gpus * share_ratio + 1e-9))


def _pausing(job: Job) -> Iterator[Job]:
    """Allowed to pause, at no cost."""
    if job.interruption is None and not job.power_profile:
        yield replace(job, interruption=Interruption())
