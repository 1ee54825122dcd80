"""FILE.csv and FLEET.toml to a plan: reads both, asks the planner, turns what cannot be into a usage problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.fleet_file import FleetFile, read_fleet
from slacktide.jobs_file import read_jobs_file
from slacktide.objective_text import unreachable

if TYPE_CHECKING:
    from scheduler.jobs import Job
    from scheduler.planning.choosing import ChosenPlan
    from scheduler.planning.fleet_case import FleetCase

# The search draws from a generator that begins the same each time: the same files give the same plan.
_SEED = 0
# Hours of the week are kept free until so long after the last deadline, where runs at once may be late.
_LATE_RUNS_S = 28 * 86400.0


def chosen_plan(jobs: Path, fleet: Path) -> ChosenPlan:
    """The plan of every job of the file. Raises UsageProblem."""
    import numpy as np

    from scheduler.planning.budgets import Budgets
    from scheduler.planning.choosing import LimitUnreachableError
    from scheduler.planning.narrowing import plan_under
    from scheduler.planning.precedence import Precedence, run_now_in_order

    known, asked = read_fleet(fleet), read_jobs_file(jobs)
    case = case_of(known, asked.jobs)
    rules = (Precedence(asked.after), Budgets(case, known.sites, known.budgets))
    at_once, generator = run_now_in_order(case, asked.after), np.random.default_rng(_SEED)
    try:
        return plan_under(case, known.sites, known.objective, rules, at_once, generator)
    except LimitUnreachableError as problem:
        raise unreachable(problem) from None


def case_of(known: FleetFile, jobs: Sequence[Job]) -> FleetCase:
    """The jobs on the fleet, with what its regions hold in their time."""
    from scheduler.planning.fleet_case import FleetCase

    from_s = min((job.earliest_start_at_s for job in jobs), default=0.0)
    to_s = max((job.deadline_at_s for job in jobs), default=from_s)
    return FleetCase(
        jobs=jobs,
        regions=known.regions_between(from_s, to_s + _LATE_RUNS_S),
        forecasts=known.forecasts,
        power_caps_w=known.power_caps_w,
    )
