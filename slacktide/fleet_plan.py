"""FILE.csv and FLEET.toml to a plan: reads both, asks the planner, turns what cannot be into a usage problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.file_places import nearest_of
from slacktide.fleet_file import FleetFile, read_fleet
from slacktide.fleet_pools import refuse_names_of_jobs
from slacktide.jobs_file import JobsFile, read_jobs_file
from slacktide.objective_text import unreachable
from slacktide.terminal import say

if TYPE_CHECKING:
    from scheduler.jobs import Job
    from scheduler.planning.plan import Region
    from scheduler.planning.reasons.kept_rules import FleetRules, Typed
    from scheduler.planning.whole_fleet.choosing import ChosenPlan
    from scheduler.planning.whole_fleet.fleet_case import FleetCase
    from scheduler.planning.whole_fleet.rules.transfers import Transfers

# The search draws from a generator that begins the same each time: the same files give the same plan.
_SEED = 0
# Hours of the week are kept free until so long after the last deadline, where runs at once may be late.
_LATE_RUNS_S = 28 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlan:
    """The plan of a file, and what it kept. `is_by_grams_alone`: nothing but grams and room counted."""

    chosen: ChosenPlan
    rules: FleetRules
    is_by_grams_alone: bool


def chosen_plan(jobs: Path, fleet: Path) -> FoundPlan:
    """The plan of every job of the file. Raises UsageProblem."""
    import numpy as np

    from scheduler.planning.whole_fleet.choosing import LimitUnreachableError
    from scheduler.planning.whole_fleet.objective import Objective
    from scheduler.planning.whole_fleet.rules.budgets import Budgets
    from scheduler.planning.whole_fleet.rules.narrowing import plan_under
    from scheduler.planning.whole_fleet.rules.precedence import Precedence, run_now_in_order
    from scheduler.planning.whole_fleet.rules.transfers import Transfers
    from scheduler.planning.whole_fleet.token_filling.planned import plan_with_pools

    known, asked = read_fleet(fleet), read_jobs_file(jobs)
    _refuse_lost_data(known, asked)
    refuse_names_of_jobs(fleet, known.pools, asked.lines)
    _refuse_waiting(known, asked)
    _note_unknown_regions(known, asked)
    case, sites = case_of(known, asked), known.sites
    moves = Transfers(case, sites, known.objective.weights, asked.data, known.link)
    rules = (Precedence(asked.after, case.shortest_s), moves, Budgets(case, sites, known.budgets, moves))
    at_once = run_now_in_order(replace(case, jobs=moves.at_home), asked.after)
    try:
        found = plan_under(case, sites, known.objective, rules, at_once, np.random.default_rng(_SEED), moves)
    except LimitUnreachableError as problem:
        raise unreachable(problem) from None
    has_rules = bool(known.budgets or asked.after or asked.data)
    if known.pools:
        found = plan_with_pools(found, known.pools, sites, may_move=not has_rules)
    has_charges = has_rules or any(one.gco2e_per_gpu_h for one in sites.values())
    is_by_grams_alone = known.objective == Objective() and not has_charges
    return FoundPlan(chosen=found, rules=_kept(known, asked, moves), is_by_grams_alone=is_by_grams_alone)


def _kept(known: FleetFile, asked: JobsFile, moves: Transfers) -> FleetRules:
    from scheduler.planning.reasons.kept_rules import FleetRules

    named = [job for job in asked.jobs if job.regions or job.id in asked.gpu_types]
    return FleetRules(
        sites=known.sites,
        objective=known.objective,
        after=asked.after,
        budgets=known.budgets,
        moves=moves if asked.data else None,
        typed={name: _typed(known, asked, name, types) for name, types in asked.gpu_types.items()},
        written={job.id: job.regions for job in named},
    )


def _typed(known: FleetFile, asked: JobsFile, name: str, types: tuple[str, ...]) -> Typed:
    from scheduler.planning.reasons.kept_rules import Typed

    job = next(job for job in asked.jobs if job.id == name)
    every = tuple(region.name for region in known.regions)
    others = dict.fromkeys(one.gpu_type for one in known.regions if one.gpu_type and one.gpu_type not in types)
    return Typed(
        types=types,
        of_any_type=_regions_of(known, job, ()) or every,
        of_any_zone=tuple(one.name for one in known.regions if _has_type(one, types)),
        with_also={other: _regions_of(known, job, (*types, other)) for other in others},
    )


def _refuse_waiting(known: FleetFile, asked: JobsFile) -> None:
    if known.objective.weights.per_waiting_kwh_h > 0:
        for name in asked.scalings:
            hint = "leave elastic empty, or waiting_kwh_h out of [objective]"
            raise asked.lines[name].wrong(
                "elastic", "waiting is weighed by energy, which here depends on the plan", hint
            )


def _note_unknown_regions(known: FleetFile, asked: JobsFile) -> None:
    """A job whose regions are all unknown is refused; of one that has others, nothing else says what was left out."""
    names = {name for region in known.regions for name in (region.name, region.zone)}
    noted: set[str] = set()
    for job in asked.jobs:
        absent = [name for name in job.regions if name not in names]
        if absent and len(absent) < len(job.regions) and not noted.issuperset(absent):
            noted.update(absent)
            wrong = asked.lines[job.id].wrong("regions", f"the fleet has no {', '.join(absent)}", "")
            say(f"note: {wrong.what}; the others are used")


def _refuse_lost_data(known: FleetFile, asked: JobsFile) -> None:
    zones = tuple(region.name for region in known.regions)
    for name, data in asked.data.items():
        if data.region not in zones:
            raise asked.lines[name].wrong("data_region", f"no region {data.region}", nearest_of(data.region, zones))
        if known.link is None:
            raise asked.lines[name].wrong("data_gb", "the fleet has no [transfer]", "write [transfer] gb_per_s = 0.5")
        if known.objective.limit is not None:
            hint = "weigh grams or dollars instead, or leave data_gb out"
            raise asked.lines[name].wrong("data_gb", "moves of data are in no limit of [objective]", hint)


def with_regions(known: FleetFile, asked: JobsFile) -> list[Job]:
    """The jobs with the names of the regions that they may use: all of a zone that they name, with their GPUs."""
    return [replace(job, regions=_regions_of(known, job, asked.gpu_types.get(job.id, ()))) for job in asked.jobs]


def _regions_of(known: FleetFile, job: Job, gpu_types: Sequence[str]) -> tuple[str, ...]:
    """In the job's order of preference, then the fleet's; what the fleet has not stays, so that it can be told."""
    wanted = job.regions or ("",)
    found = [
        one
        for name in wanted
        for one in known.regions
        if name in ("", one.name, one.zone) and _has_type(one, gpu_types)
    ]
    if found:
        return tuple(dict.fromkeys(one.name for one in found)) if job.regions or gpu_types else ()
    types = " or ".join(gpu_types)
    return (
        job.regions
        if not types
        else tuple(f"{name} with {types}" if name else f"{types} in any region" for name in wanted)
    )


def _has_type(region: Region, gpu_types: Sequence[str]) -> bool:
    return not gpu_types or region.gpu_type in gpu_types


def case_of(known: FleetFile, asked: JobsFile) -> FleetCase:
    """The jobs on the fleet, with what its regions hold in their time."""
    from scheduler.planning.whole_fleet.fleet_case import FleetCase

    windows = [(job.earliest_start_at_s, job.deadline_at_s) for job in asked.jobs]
    windows += [(pool.earliest_start_at_s, pool.deadline_at_s) for pool in known.pools]
    from_s = min((one[0] for one in windows), default=0.0)
    to_s = max((one[1] for one in windows), default=from_s)
    return FleetCase(
        jobs=with_regions(known, asked),
        regions=known.regions_between(from_s, to_s + _LATE_RUNS_S),
        forecasts=known.forecasts,
        power_caps_w=known.power_caps_w,
        phases=asked.phases,
        scalings=asked.scalings,
    )
