"""What-ifs from Python: `simulate(scenario) -> Result`, its numbers as arrays, its pictures as matplotlib axes.

The same runs and numbers as `slacktide simulate`. A shell: it reads the files that a scenario names. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulations.inputs import gather_inputs
from simulations.overrides import Override, path_of
from simulations.results import Results, SideResult, results_of, savings_ratio
from simulations.results_json import plain_results
from simulations.runs import Inputs, Side, run_both
from simulations.savings_parts import savings_parts
from simulations.scenario import Scenario
from simulations.scenario_file import LoadedScenario, ReadScenario, plain_settings, read_scenario
from simulations.scenario_tables import ScenarioError, Tables
from simulations.side_items import IN_TIME_S, finished_at_s
from simulations.side_times import waits_s as job_waits_s
from simulations.summary import headline, mass
from simulations.timeline import Timeline, timeline_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

SideName = Literal["baseline", "policy"]


def simulate(
    scenario: Scenario | str | Path, *, overrides: Mapping[str, Any] | None = None, folder: str | Path = "."
) -> Result:
    """Run a scenario: one made in Python, a file, or a packaged one by name. Raises ScenarioError.

    `overrides` are those of `--set`: `{"jobs.slack_s": "2d"}`. The paths of a scenario made in Python start from
    `folder`; those of a file from the file's own.
    """
    if isinstance(scenario, Scenario):
        tables = Tables(plain=plain_settings(scenario), origins={})
        read = ReadScenario(source=scenario.name, tables=tables, folder=Path(folder))
    else:
        read = read_scenario(str(scenario))
    loaded = read.validated([_override(name, value) for name, value in (overrides or {}).items()])
    return Result(results=results_of(run_both(gather_inputs(loaded))), loaded=loaded)


def _override(name: str, value: Any) -> Override:
    path = path_of(name)
    if not path:
        raise ScenarioError(f"overrides[{name!r}]", "is no path", "write it like jobs.slack_s or region.0.gpus")
    return Override(path=path, value=value, source=f"overrides[{name!r}]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Named columns, each of shape (n,): numpy arrays, or one pandas frame."""

    columns: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def __repr__(self) -> str:
        """Not the numbers: a cell that ends with a table would be filled with them."""
        return f"<Table of {len(self):,} rows: {', '.join(self.columns)}>"

    def pandas(self) -> pandas.DataFrame:
        """Needs pandas, which this package does not bring."""
        import pandas

        return pandas.DataFrame(dict(self.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One way of running the work against another. `savings_ratio` and `avoided_gco2e` are signed.

    Both are None where the two did not do or could not price the same work.
    """

    baseline: SideResult
    policy: SideResult
    savings_ratio: float | None
    avoided_gco2e: float | None

    @property
    def more_late(self) -> int:
        """Late jobs and requests of the policy beyond those of the baseline; negative when it has fewer."""
        return self.policy.deadline_misses - self.baseline.deadline_misses

    def __repr__(self) -> str:
        if self.savings_ratio is None or self.avoided_gco2e is None:
            return "<Comparison: savings not known>"
        saved = f"{self.savings_ratio:+.1%} saved ({mass(self.avoided_gco2e)})"
        return f"<Comparison: {saved}, {self.more_late:+,} late>"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """Both sides of one what-if: the work run at once, and under the scenario's policy."""

    results: Results
    loaded: LoadedScenario

    def __repr__(self) -> str:
        return f"<Result of {headline(self.results)}>"

    @property
    def scenario(self) -> Scenario:
        return self.loaded.scenario

    @property
    def savings_ratio(self) -> float | None:
        """Share of the emissions of running at once that the policy avoids; signed."""
        return self.results.savings_ratio

    def compare(self, baseline: Result | None = None) -> Comparison:
        """This policy against running at once, or against the policy of another result.

        Raises ValueError when the other did other work: its traces or its draws differ.
        """
        if baseline is None:
            return Comparison(
                baseline=self.results.baseline,
                policy=self.results.policy,
                savings_ratio=self.savings_ratio,
                avoided_gco2e=self.results.avoided_gco2e,
            )
        if not _is_same_work(self.results.runs.inputs, baseline.results.runs.inputs):
            raise ValueError(
                f"{self.scenario.name!r} and {baseline.scenario.name!r} do not do the same work: "
                "compare scenarios with the same traces, or the same seed"
            )
        return _compared(baseline.results.policy, self.results.policy)

    def parts(self) -> dict[str, float]:
        """Grams avoided by each lever and loss, by name; they add up to what is avoided. Makes more runs."""
        return {part.value: grams for part, grams in savings_parts(self.results).by_part_gco2e.items()}

    def plain(self) -> dict[str, Any]:
        """The document that `slacktide simulate --json` prints."""
        return plain_results(self.results)

    # -- tables

    def jobs(self, side: SideName = "policy") -> Table:
        """One row a job. Instants are UTC epoch seconds, NaN where there is none; emissions NaN where unknown."""
        run, place = self._side(side)
        first = {one.job_id: one for one in reversed(run.stretches)}
        starts = [first.get(work.job.id) for work in run.works]
        finishes = finished_at_s(run)
        submits = np.array([work.job.submitted_at_s for work in run.works])
        durations = np.array([work.true_duration_s for work in run.works])
        deadlines = np.array([work.job.deadline_at_s for work in run.works])
        items = self.results.accounts[place].jobs
        return Table(
            columns={
                "job": np.array([work.job.id for work in run.works], dtype=np.str_),
                "workload": np.array([work.workload for work in run.works], dtype=np.str_),
                "region": np.array(["" if one is None else one.region for one in starts], dtype=np.str_),
                "gpus": np.array([work.job.gpus for work in run.works], dtype=np.int64),
                "submitted_at_s": submits,
                "started_at_s": np.array([np.nan if one is None else one.start_at_s for one in starts]),
                "finished_at_s": finishes,
                "deadline_at_s": deadlines,
                "duration_s": durations,
                "wait_s": np.maximum(finishes - submits - durations, 0.0),
                "is_late": ~(finishes <= deadlines + IN_TIME_S),
                "energy_kwh": items.energy_kwh,
                "emissions_gco2e": items.emissions_gco2e,
            }
        )

    def requests(self, side: SideName = "policy") -> Table:
        """One row a request, pool after pool. Instants as in `jobs`; NaN for a request that was dropped."""
        run, place = self._side(side)
        parts = [
            {
                "pool": np.full(len(pool.traffic.trace), pool.spec.name),
                "arrived_at_s": pool.traffic.start_at_s + pool.traffic.trace.arrival_s,
                "first_token_at_s": pool.record.first_token_at_s,
                "finished_at_s": pool.record.finished_at_s,
                "prompt_tokens": pool.traffic.trace.prompt_tokens,
                "output_tokens": pool.traffic.trace.output_tokens,
                "is_flex": pool.traffic.is_flex,
                "energy_kwh": accounts.requests.energy_kwh,
                "emissions_gco2e": accounts.requests.emissions_gco2e,
            }
            for pool, accounts in zip(run.pools, self.results.accounts[place].pools, strict=True)
        ]
        names = parts[0] if parts else {}
        return Table(columns={name: np.concatenate([part[name] for part in parts]) for name in names})

    def classes(self) -> Table:
        """One row a class of work, with both sides beside each other."""
        found = self.results.by_class
        return Table(
            columns={
                "class": np.array([one.name for one in found], dtype=np.str_),
                "items": np.array([one.items for one in found], dtype=np.int64),
                "baseline_kwh": np.array([one.baseline_kwh for one in found]),
                "policy_kwh": np.array([one.policy_kwh for one in found]),
                "baseline_gco2e": np.array([one.baseline_gco2e for one in found]),
                "policy_gco2e": np.array([one.policy_gco2e for one in found]),
            }
        )

    # -- pictures, which need matplotlib (extra: plots)

    def plot_intensity(self, axes: Axes | None = None) -> Axes:
        """What each grid emitted."""
        from simulations.plot import draw_intensity

        axes = _axes(axes)
        draw_intensity(axes, self.timeline())
        return axes

    def plot_power(self, side: SideName = "policy", axes: Axes | None = None) -> Axes:
        """Power by class of work, stacked; both sides have the same colours."""
        from simulations.plot import draw_power

        axes = _axes(axes)
        timeline = self.timeline()
        names = list({**timeline.policy_by_class_kw, **timeline.baseline_by_class_kw})
        power_kw = timeline.baseline_by_class_kw if side == "baseline" else timeline.policy_by_class_kw
        draw_power(axes, timeline, power_kw, names, f"{_TITLES[side]}, kW")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        return axes

    def plot_waits(self, axes: Axes | None = None) -> Axes:
        """The share of jobs that waited no longer than so many hours, on both sides."""
        from simulations.plot import CLEAN, INK, dress

        axes = _axes(axes)
        for name, line, colour in (("baseline", "--", INK), ("policy", "-", CLEAN)):
            hours = np.sort(job_waits_s(self._side(name)[0])) / 3600.0
            shares = np.arange(1, len(hours) + 1) / len(hours)
            axes.step(hours, shares, line, where="post", color=colour, label=_TITLES[name])
        axes.legend(frameon=False, fontsize=9)
        axes.set_xlabel("hours beyond the run time", color=INK, fontsize=9)
        dress(axes, "share of jobs that waited at most so long")
        return axes

    def timeline(self) -> Timeline:
        """Power and intensity over equal steps of time."""
        return timeline_of(self.results)

    def _side(self, side: str) -> tuple[Side, int]:
        runs = self.results.runs
        if side not in _TITLES:
            raise ValueError(f"side {side!r} is neither 'baseline' nor 'policy'")
        return (runs.baseline, 0) if side == "baseline" else (runs.policy, 1)


_TITLES = {"baseline": "run at once", "policy": "policy"}


def _axes(axes: Axes | None) -> Axes:
    if axes is not None:
        return axes
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(9, 3), layout="constrained")[1]


def _compared(baseline: SideResult, policy: SideResult) -> Comparison:
    sides = (baseline, policy)
    is_whole = all(one.unpriced_kwh == 0 and one.jobs_never_run == one.requests_dropped == 0 for one in sides)
    return Comparison(
        baseline=baseline,
        policy=policy,
        savings_ratio=savings_ratio(baseline.emissions_gco2e, policy.emissions_gco2e) if is_whole else None,
        avoided_gco2e=baseline.emissions_gco2e - policy.emissions_gco2e if is_whole else None,
    )


def _is_same_work(one: Inputs, other: Inputs) -> bool:
    mine, its = _work(one), _work(other)
    return len(mine) == len(its) and all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


def _work(inputs: Inputs) -> list[NDArray[Any]]:
    jobs = [column for trace in inputs.jobs for column in (trace.submit_s, trace.duration_s, trace.gpus)]
    asked = inputs.requests if inputs.unrouted is None else inputs.unrouted.requests
    requests = [column for trace in asked for column in (trace.arrival_s, trace.prompt_tokens, trace.output_tokens)]
    return [*jobs, *requests]
