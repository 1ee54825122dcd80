"""GAIA: normalised carbon, cost and waiting of batch policies for 1,000 jobs in South Australia.

Source: Hanafy et al., "Going Green for Less Green", ASPLOS 2024. Decides what a row's policy means and what is summed;
the policies and the cluster are beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simulations.reproductions.gaia_cluster import PlacedPiece, PlannedJob, place
from simulations.reproductions.gaia_policies import (
    LONG_WAIT,
    POLICIES,
    SHORT_BELOW,
    SHORT_WAIT,
    STEP_S,
    STEPS_PER_HOUR,
    BatchJob,
    BeyondTheSeriesError,
    Grid,
    StartPolicy,
    all_wait,
)
from simulations.reproductions.tables import (
    CellError,
    Pack,
    PackError,
    PublishedTable,
    Reproduction,
    Row,
    Value,
    number,
    whole,
)

ON_DEMAND_USD_PER_CPU_H = 0.0624
RESERVED_RATIO = 0.4
SPOT_USD_PER_CPU_H = 0.01248
SPOT_UP_TO_S = 7200

# What stands before the name of a policy: whether it uses spot, and whether it starts early on reserved CPUs.
_PREFIXES = {"Spot-RES-": (True, True), "Spot-First-": (True, False), "RES-First-": (False, True)}
# The study's own policy, which it means where only the prefix is named.
_OWN_POLICY = "Carbon-Time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One policy of the study. `starts_early`: ahead of plan where reserved CPUs are free."""

    plan: StartPolicy
    uses_spot: bool = False
    starts_early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceJob:
    """A job of the trace with what its queue makes of it."""

    seen: BatchJob
    cpus: int
    is_short: bool  # enough for spot, which counts seconds and not steps


def setup_of(name: str) -> Setup:
    """A published name, e.g. Carbon-Time or RES-First-Carbon-Time, however it is spelt. Raises CellError."""
    if _letters(name) in _SETUPS:
        return _SETUPS[_letters(name)]
    known = f"AllWait-Threshold, {', '.join(POLICIES)}, and these after {', '.join(_PREFIXES)}"
    raise CellError(f"{name!r} is not one of {known}", "policy")


def _letters(name: str) -> str:
    """What two spellings of a name share."""
    return "".join(filter(str.isalnum, name.lower()))


def _setups() -> Iterator[tuple[str, Setup]]:
    yield "AllWait-Threshold", Setup(plan=all_wait, starts_early=True)
    for name, plan in POLICIES.items():
        yield name, Setup(plan=plan)
        for prefix, (uses_spot, starts_early) in _PREFIXES.items():
            setup = Setup(plan=plan, uses_spot=uses_spot, starts_early=starts_early)
            yield prefix + name, setup
            if name == _OWN_POLICY:
                yield prefix, setup


_SETUPS = {_letters(name): setup for name, setup in _setups()}


def trace_jobs(rows: Sequence[Row]) -> list[TraceJob]:
    """Jobs in order of arrival, in two queues; a queue's expected length is the trace's own mean, cut to a whole."""
    ordered = sorted(rows, key=lambda row: number(row, "arrival_s"))
    seconds = [number(row, "length_s") for row in ordered]
    is_short = [length_s // STEP_S < SHORT_BELOW for length_s in seconds]
    expected = {
        kind: _mean_steps(s for s, one in zip(seconds, is_short, strict=True) if one == kind) for kind in (True, False)
    }
    return [
        TraceJob(
            seen=BatchJob(
                arrival=int(number(row, "arrival_s") // STEP_S),
                length=int(length_s // STEP_S),
                max_wait=SHORT_WAIT if short else LONG_WAIT,
                expected=expected[short],
            ),
            cpus=whole(row, "cpus", least=1),
            is_short=length_s <= SPOT_UP_TO_S,
        )
        for row, length_s, short in zip(ordered, seconds, is_short, strict=True)
    ]


def _mean_steps(lengths_s: Iterable[float]) -> int:
    found = list(lengths_s)
    return int(np.mean(found) / STEP_S) if found else 0


def run(jobs: Sequence[TraceJob], grid: Grid, setup: Setup, reserved_cpus: int) -> list[PlacedPiece]:
    """Plans each job on arrival and runs all of them."""
    planned = [
        PlannedJob(
            arrival=job.seen.arrival,
            cpus=job.cpus,
            pieces=setup.plan(job.seen, grid),
            is_spot=setup.uses_spot and job.is_short,
        )
        for job in jobs
    ]
    return place(planned, reserved_cpus, starts_early=setup.starts_early)


def carbon_gco2e(jobs: Sequence[TraceJob], grid: Grid, placed: Sequence[PlacedPiece]) -> float:
    """A CPU draws one kilowatt while its job runs."""
    return sum(jobs[one.job].cpus * grid.kwh_gco2e([one.piece]) for one in placed)


def cost_usd(jobs: Sequence[TraceJob], placed: Sequence[PlacedPiece], reserved_cpus: int, uses_spot: bool) -> float:
    """Reserved CPUs are paid until the *last start* of any piece, used or not; the rest by the CPU-hour."""
    last_start = max((one.piece.start for one in placed), default=0)
    reserved_usd = reserved_cpus * RESERVED_RATIO * ON_DEMAND_USD_PER_CPU_H * last_start / STEPS_PER_HOUR
    return reserved_usd + sum(
        _cpu_h(jobs, one) * (SPOT_USD_PER_CPU_H if uses_spot and jobs[one.job].is_short else ON_DEMAND_USD_PER_CPU_H)
        for one in placed
        if not one.is_reserved
    )


def _cpu_h(jobs: Sequence[TraceJob], one: PlacedPiece) -> float:
    return jobs[one.job].cpus * (one.piece.end - one.piece.start) / STEPS_PER_HOUR


def mean_wait_h(jobs: Sequence[TraceJob], placed: Sequence[PlacedPiece]) -> float:
    """Per started piece: its start minus the arrival of its job."""
    return sum(one.piece.start - jobs[one.job].seen.arrival for one in placed) / len(placed) / STEPS_PER_HOUR


def mean_delay_h(jobs: Sequence[TraceJob], placed: Sequence[PlacedPiece]) -> float:
    """Per job: its last end minus arrival and length."""
    ends = [0] * len(jobs)
    for one in placed:
        ends[one.job] = max(ends[one.job], one.piece.end)
    delays = [end - job.seen.arrival - job.seen.length for end, job in zip(ends, jobs, strict=True)]
    return sum(delays) / len(jobs) / STEPS_PER_HOUR


def _answers(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    lists = pack.tables_like("jobs_")
    if len(lists) != 1 or not next(iter(lists.values())):
        raise PackError(f"{pack.place}: needs one list of jobs (jobs_*.csv), there are {len(lists)}, or it is empty")
    jobs = trace_jobs(next(iter(lists.values())))
    zones = dict.fromkeys(row.get("zone") or pack.only_zone() for row in cells)
    worlds = {zone: _World(jobs, Grid(pack.intensity_of(zone))) for zone in zones}
    return [_answer(worlds[row.get("zone") or pack.only_zone()], row) for row in cells]


class _World:
    """Jobs on a grid, and what they emit when each runs at once. Raises PackError where the grid ends before them."""

    def __init__(self, jobs: Sequence[TraceJob], grid: Grid) -> None:
        self.jobs, self.grid = jobs, grid
        try:
            self.at_once_g = carbon_gco2e(jobs, grid, run(jobs, grid, setup_of("NoWait"), 0))
        except BeyondTheSeriesError as error:
            raise PackError(f"the list of jobs outlasts the carbon intensity: {error}") from error


def _answer(world: _World, row: Row) -> dict[str, Value]:
    jobs, grid = world.jobs, world.grid
    setup, reserved_cpus = setup_of(row["policy"]), whole(row, "reserved_cpus") if row.get("reserved_cpus") else 0
    try:
        placed = run(jobs, grid, setup, reserved_cpus)
        carbon_g = carbon_gco2e(jobs, grid, placed)
    except BeyondTheSeriesError as error:
        raise CellError(str(error), "policy") from error
    return {
        "carbon_kg": carbon_g / 1000,
        "normalized_carbon": carbon_g / world.at_once_g,
        "cost_usd": cost_usd(jobs, placed, reserved_cpus, setup.uses_spot),
        "started_pieces": len(placed),
        "mean_wait_h_per_piece": mean_wait_h(jobs, placed),
        "mean_delay_h_per_job": mean_delay_h(jobs, placed),
        "published_normalized_carbon": carbon_g / world.at_once_g,
    }


REPRODUCTION = Reproduction(
    name="gaia",
    study="GAIA (ASPLOS 2024): batch policies on 1,000 jobs in South Australia",
    tables=(
        PublishedTable(
            expected="expected",
            keys=("policy",),
            answer=_answers,
            parameters=("reserved_cpus", "zone"),
            tolerances={
                "carbon_kg": "1e-6",
                "normalized_carbon": "1e-6",
                "published_normalized_carbon": "1e-6",
                "cost_usd": "1e-5",
                "mean_wait_h_per_piece": "1e-4",
                "mean_delay_h_per_job": "1e-4",
            },
        ),
    ),
)
