"""FILE.csv and FLEET.toml to a plan: reads both, asks the planner, turns what cannot be into a usage problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.file_places import nearest_of
from slacktide.fleet_file import FleetFile, read_fleet
from slacktide.fleet_pools import refuse_names_of_jobs
from slacktide.jobs_file import JobsFile, read_jobs_file
from slacktide.objective_text import unreachable

if TYPE_CHECKING:
    from scheduler.jobs import Job
    from scheduler.planning.whole_fleet.choosing import ChosenPlan
    from scheduler.planning.whole_fleet.fleet_case import FleetCase

# The search draws from a generator that begins the same each time: the same files give the same plan.
_SEED = 0
# Hours of the week are kept free until so long after the last deadline, where runs at once may be late.
_LATE_RUNS_S = 28 * 86400.0


def chosen_plan(jobs: Path, fleet: Path) -> tuple[ChosenPlan, bool]:
    """The plan of every job of the file, and whether nothing but grams and room counted. Raises UsageProblem."""
    import numpy as np

    from scheduler.planning.whole_fleet.budgets import Budgets
    from scheduler.planning.whole_fleet.choosing import LimitUnreachableError
    from scheduler.planning.whole_fleet.narrowing import plan_under
    from scheduler.planning.whole_fleet.objective import Objective
    from scheduler.planning.whole_fleet.precedence import Precedence, run_now_in_order
    from scheduler.planning.whole_fleet.transfers import Transfers
    from scheduler.planning.whole_fleet.with_pools import plan_with_pools

    known, asked = read_fleet(fleet), read_jobs_file(jobs)
    _refuse_lost_data(known, asked)
    refuse_names_of_jobs(fleet, known.pools, asked.lines)
    case, sites = case_of(known, asked.jobs), known.sites
    moves = Transfers(case, sites, known.objective.weights, asked.data, known.link)
    rules = (Precedence(asked.after), moves, Budgets(case, sites, known.budgets, moves))
    at_once = run_now_in_order(replace(case, jobs=moves.at_home), asked.after)
    try:
        found = plan_under(case, sites, known.objective, rules, at_once, np.random.default_rng(_SEED), moves)
    except LimitUnreachableError as problem:
        raise unreachable(problem) from None
    has_rules = bool(known.budgets or asked.after or asked.data)
    if known.pools:
        found = plan_with_pools(found, known.pools, sites, may_move=not has_rules)
    has_charges = has_rules or any(one.gco2e_per_gpu_h for one in sites.values())
    return found, known.objective == Objective() and not has_charges


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


def case_of(known: FleetFile, jobs: Sequence[Job]) -> FleetCase:
    """The jobs on the fleet, with what its regions hold in their time."""
    from scheduler.planning.whole_fleet.fleet_case import FleetCase

    windows = [(job.earliest_start_at_s, job.deadline_at_s) for job in jobs]
    windows += [(pool.earliest_start_at_s, pool.deadline_at_s) for pool in known.pools]
    from_s = min((one[0] for one in windows), default=0.0)
    to_s = max((one[1] for one in windows), default=from_s)
    return FleetCase(
        jobs=jobs,
        regions=known.regions_between(from_s, to_s + _LATE_RUNS_S),
        forecasts=known.forecasts,
        power_caps_w=known.power_caps_w,
    )
