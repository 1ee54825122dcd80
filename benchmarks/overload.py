"""What the policy does to deadlines on a fleet that is too small for its jobs, by the slack that the jobs are given.

    python -m benchmarks.overload
    python -m benchmarks.overload 7d+1 14d+1

Runs examples/azure-conv-philly-de2022.toml (the first 500 Philly jobs on 64 GPUs, 429 of them submitted within a day)
with each slack: a fixed time, plus so many run times. Prints how many jobs are late at once and under the policy, how
many are late only under the policy, and what is saved. Needs the recorded traces. A slack is a property of the users;
none is chosen here for what it shows.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from simulations.inputs import gather_inputs
from simulations.results import results_of
from simulations.runs import Side, run_both
from simulations.scenario_file import LoadedScenario, load_scenario

EXAMPLE = Path(__file__).parent.parent / "examples" / "azure-conv-philly-de2022.toml"
DAY_S = 86400.0
SLACKS = (
    "1d+0",
    "3d+0.5",
    "7d+0",
    "7d+1",
    "10d+2",
    "14d+0",
    "14d+1",
    "18d+0.5",
    "21d+1",
    "25d+1",
    "30d+0",
    "30d+2",
    "45d+3",
)


def with_slack(loaded: LoadedScenario, slack_s: float, slack_ratio: float) -> LoadedScenario:
    jobs = tuple(replace(one, slack_s=slack_s, slack_ratio=slack_ratio) for one in loaded.scenario.jobs)
    return replace(loaded, scenario=replace(loaded.scenario, jobs=jobs))


def row(loaded: LoadedScenario, slack: str) -> str:
    days, _, run_times = slack.partition("d+")
    runs = run_both(gather_inputs(with_slack(loaded, float(days) * DAY_S, float(run_times))))
    at_once, policy = late_jobs(runs.baseline), late_jobs(runs.policy)
    saved_ratio = results_of(runs).savings_ratio
    saved = "not known" if saved_ratio is None else f"{saved_ratio:.2%}"
    what = f"{days} d" + (f" + {run_times} x run time" if float(run_times) else "")
    return f"| {what} | {len(at_once)} | {len(policy)} | {len(policy - at_once)} | {saved} |"


def late_jobs(side: Side) -> set[str]:
    deadlines = {one.job.id: one.job.deadline_at_s for one in side.works}
    return {name for name, at_s in side.finished_at_s.items() if at_s > deadlines[name] + 1.0}


def main() -> int:
    loaded = load_scenario(str(EXAMPLE))
    print("| slack | late at once | late under the policy | late only under the policy | saved |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    for slack in sys.argv[1:] or SLACKS:
        print(row(loaded, slack), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
