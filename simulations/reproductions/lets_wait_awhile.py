"""Let's Wait Awhile: what shifting machine-learning jobs to the next workday saved in 2020.

Source: Wiesner et al., Middleware 2021, arXiv 2110.13234. Everything here counts half-hour steps from
2020-01-01T00:00Z, as the original does, and no instants: its windows end at the *start* of a step, which an interval of
time cannot say. Decides when each job runs; knows no capacity and no power, for every job draws the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from simulations.policies.rules import cleanest_first, lowest, lowest_of_each
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

Steps = NDArray[np.int64]

STEP = timedelta(minutes=30)
FIRST_STEP = datetime(2020, 1, 1, tzinfo=UTC)
SEEDS = range(10)
# The window of the original also holds the step that starts at the deadline: a job may end half an hour late.
EXTRA_STEPS = 1

_OPENS_H, _CLOSES_H = 9, 17
_SATURDAY, _SUNDAY = 5, 6
_HANDOVERS = (0, 3)  # Monday and Thursday


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShiftableJobs:
    """Jobs as steps, each of shape (n,). A job's window is `window` steps long and begins at `issue`."""

    issue: Steps
    duration: Steps
    window: Steps

    def starting_at_once(self, extra_steps: int = EXTRA_STEPS) -> ShiftableJobs:
        """The same jobs without slack; the extra step of the original leaves them half an hour of choice."""
        return ShiftableJobs(issue=self.issue, duration=self.duration, window=self.duration + extra_steps)


# -- deadlines -------------------------------------------------------------------------------------------------------


def next_workday(nominal_end: datetime) -> datetime:
    """Nine o'clock when somebody next looks at a result that is ready at `nominal_end`.

    A Friday evening leads to Saturday morning, as in the original.
    """
    morning = nominal_end.replace(hour=_OPENS_H, minute=0, second=0, microsecond=0)
    evening = morning.replace(hour=_CLOSES_H)
    if nominal_end.weekday() in (_SATURDAY, _SUNDAY):
        return morning + timedelta(days=7 - nominal_end.weekday())
    if nominal_end > evening:
        return morning + timedelta(days=1)
    return max(nominal_end, morning)


def semi_weekly(nominal_end: datetime) -> datetime:
    """The first Monday or Thursday, nine o'clock, at or after `nominal_end`."""
    morning = nominal_end.replace(hour=_OPENS_H, minute=0, second=0, microsecond=0)
    mornings = (morning + timedelta(days=days) for days in range(8))
    return next(day for day in mornings if day >= nominal_end and day.weekday() in _HANDOVERS)


DEADLINES: Mapping[str, Callable[[datetime], datetime]] = {"next_workday": next_workday, "semi_weekly": semi_weekly}


def window_steps(issue: int, duration: int, deadline: Callable[[datetime], datetime]) -> int:
    """Length of a job's window under a rule for its deadline."""
    due = deadline(FIRST_STEP + (issue + duration) * STEP)
    return (due - FIRST_STEP) // STEP - issue + EXTRA_STEPS


# -- policies ----------------------------------------------------------------------------------------------------------


def lowest_mean_starts(jobs: ShiftableJobs, forecast_gco2e_per_kwh: Floats) -> Steps:
    """Non-interruptible: the start of the lowest forecast mean inside each window, ties to the earliest. Shape (n,)."""
    choices = jobs.window - jobs.duration + 1
    firsts = np.concatenate(([0], np.cumsum(choices)[:-1]))
    offsets = np.arange(choices.sum()) - np.repeat(firsts, choices)
    starts = np.repeat(jobs.issue, choices) + offsets
    sums = window_sums(forecast_gco2e_per_kwh, starts, np.repeat(jobs.duration, choices))
    return jobs.issue + lowest_of_each(sums, firsts)


def lowest_steps(jobs: ShiftableJobs, forecast_gco2e_per_kwh: Floats) -> tuple[Steps, NDArray[np.bool_]]:
    """Interruptible: the steps of each window, lowest forecast first, and which of them run; both (n, widest)."""
    columns = np.arange(jobs.window.max())
    inside = columns < jobs.window[:, None]
    steps = np.minimum(jobs.issue[:, None] + columns, len(forecast_gco2e_per_kwh) - 1)
    order = cleanest_first(np.where(inside, forecast_gco2e_per_kwh[steps], np.inf))
    return np.take_along_axis(steps, order, axis=1), columns < jobs.duration[:, None]


def window_sums(gco2e_per_kwh: Floats, starts: Steps, lengths: Steps) -> Floats:
    """Sums over `lengths` steps from each start, shape as `starts`."""
    sums = np.concatenate(([0.0], np.cumsum(gco2e_per_kwh)))
    return np.asarray(sums[starts + lengths] - sums[starts])


def _non_interruptible(jobs: ShiftableJobs, forecast_gco2e_per_kwh: Floats, true_gco2e_per_kwh: Floats) -> float:
    starts = lowest_mean_starts(jobs, forecast_gco2e_per_kwh)
    return float(window_sums(true_gco2e_per_kwh, starts, jobs.duration).sum())


def _interruptible(jobs: ShiftableJobs, forecast_gco2e_per_kwh: Floats, true_gco2e_per_kwh: Floats) -> float:
    steps, runs = lowest_steps(jobs, forecast_gco2e_per_kwh)
    return float(true_gco2e_per_kwh[steps[runs]].sum())


_EXECUTIONS = {"non_interruptible": _non_interruptible, "interruptible": _interruptible}


def noisy(true_gco2e_per_kwh: Floats, error_ratio: float, generator: np.random.Generator) -> Floats:
    """A forecast: the truth plus one independent normal draw for each step, whatever the lead time."""
    spread = error_ratio * true_gco2e_per_kwh.mean()
    return true_gco2e_per_kwh + generator.normal(0.0, spread, size=len(true_gco2e_per_kwh))


def forecasts(true_gco2e_per_kwh: Floats, error_ratio: float) -> Iterator[Floats]:
    """The truth itself, or one noisy series for each of ten seeds."""
    if error_ratio == 0:
        yield true_gco2e_per_kwh
    else:
        yield from (noisy(true_gco2e_per_kwh, error_ratio, np.random.default_rng(seed)) for seed in SEEDS)


def mean_savings_ratio(
    jobs: ShiftableJobs, true_gco2e_per_kwh: Floats, error_ratio: float, emissions: Callable[..., float]
) -> float:
    """One minus emissions over those of the baseline; the mean of ten seeds where the forecast errs."""
    baseline = _non_interruptible(jobs.starting_at_once(), true_gco2e_per_kwh, true_gco2e_per_kwh)
    found = [emissions(jobs, one, true_gco2e_per_kwh) for one in forecasts(true_gco2e_per_kwh, error_ratio)]
    return 1 - float(np.mean(found)) / baseline


# -- the nightly job ---------------------------------------------------------------------------------------------------


def nightly_starts(forecast_gco2e_per_kwh: Floats, reach: int, *, nights: int = 365, drops_early: bool = True) -> Steps:
    """One step each night, at one o'clock or up to `reach` steps before or after, where the forecast is lowest.

    `drops_early` is the quirk of the original: a night whose window begins before the series is not run at all. Without
    it such a window is cut at the series' beginning.
    """
    nominal = 2 + 48 * np.arange(nights)
    if drops_early:
        nominal = nominal[nominal >= reach]
    firsts = np.maximum(nominal - reach, 0)
    windows = (
        (first, forecast_gco2e_per_kwh[first : one + reach + 1]) for first, one in zip(firsts, nominal, strict=True)
    )
    return np.array([first + lowest(window) for first, window in windows], dtype=np.int64)


def nightly_mean_gco2e_per_kwh(true_gco2e_per_kwh: Floats, error_ratio: float, reach: int, nights: int = 365) -> float:
    """The sum over the nights that are run, over *all* nights, as in the original; the mean of ten seeds."""
    sums = [
        float(true_gco2e_per_kwh[nightly_starts(forecast, reach, nights=nights)].sum())
        for forecast in forecasts(true_gco2e_per_kwh, error_ratio)
    ]
    return float(np.mean(sums)) / nights


# -- the tables --------------------------------------------------------------------------------------------------------


def _savings(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    known: dict[str, ShiftableJobs] = {}
    return [_saving(pack, row, known) for row in cells]


def _saving(pack: Pack, row: Row, known: dict[str, ShiftableJobs]) -> dict[str, Value]:
    constraint, execution = row["constraint"], row["execution"].replace("-", "_").lower()
    if constraint == "nightly":
        return _night(pack, row)
    if execution not in _EXECUTIONS:
        raise CellError(f"{row['execution']!r} is not one of {', '.join(_EXECUTIONS)}", "execution")
    true = pack.intensity_of(row["region"])
    if constraint not in known:
        known[constraint] = jobs_of(pack, constraint)
    _refuse_outside(known[constraint], true, row["region"])
    emissions = _EXECUTIONS[execution]
    ratio = mean_savings_ratio(known[constraint], true, _error_ratio(row), emissions)
    return {"savings_pct": 100 * ratio, "published_pct": 100 * ratio}


def jobs_of(pack: Pack, constraint: str) -> ShiftableJobs:
    """The pack's list for a constraint; where it has none, its other list with the windows of the constraint's rule."""
    lists = pack.tables_like("jobs_")
    if constraint in lists:
        return _jobs(lists[constraint], lambda row: whole(row, "window_steps", least=1))
    if constraint not in DEADLINES:
        raise CellError(f"no jobs_{constraint}.csv.gz, and {constraint!r} is no rule known here", "constraint")
    if not lists:
        raise PackError(f"{pack.place}: no list of jobs (jobs_{constraint}.csv.gz)")
    return _jobs(next(iter(lists.values())), partial(_window_by_rule, DEADLINES[constraint]))


def _window_by_rule(deadline: Callable[[datetime], datetime], row: Row) -> int:
    return window_steps(whole(row, "issue_step"), whole(row, "duration_steps", least=1), deadline)


def _jobs(rows: Sequence[Row], window: Callable[[Row], int]) -> ShiftableJobs:
    columns = [(whole(row, "issue_step"), whole(row, "duration_steps", least=1), window(row)) for row in rows]
    issue, duration, windows = np.array(columns, dtype=np.int64).reshape(-1, 3).T
    if len(issue) == 0 or (windows < duration).any():
        raise CellError("a list of jobs is empty, or has a job that its window does not hold", "window_steps")
    return ShiftableJobs(issue=issue, duration=duration, window=windows)


def _refuse_outside(jobs: ShiftableJobs, true_gco2e_per_kwh: Floats, zone: str) -> None:
    if (last := int((jobs.issue + np.maximum(jobs.window, jobs.duration + EXTRA_STEPS)).max())) > len(
        true_gco2e_per_kwh
    ):
        raise CellError(f"windows reach step {last}, the intensity ends at {len(true_gco2e_per_kwh)}", zone)


def _nights(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_night(pack, row) for row in cells]


def _night(pack: Pack, row: Row) -> dict[str, Value]:
    true, reach = pack.intensity_of(row["region"]), whole(row, "window_half_hours")
    mean = nightly_mean_gco2e_per_kwh(true, _error_ratio(row), reach)
    percent = 100 * (1 - mean / nightly_mean_gco2e_per_kwh(true, 0.0, 0))
    return {"mean_g_per_kwh": mean, "savings_pct": percent, "published_pct": percent}


def _error_ratio(row: Row) -> float:
    """None where the row names none."""
    return number(row, "forecast_error_pct") / 100 if row.get("forecast_error_pct") else 0.0


def _baselines(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    jobs = jobs_of(pack, "next_workday")
    return [_baseline(jobs, pack.intensity_of(row["region"])) for row in cells]


def _baseline(jobs: ShiftableJobs, true_gco2e_per_kwh: Floats) -> dict[str, Value]:
    executed = int(jobs.duration.sum())
    baseline = _non_interruptible(jobs.starting_at_once(), true_gco2e_per_kwh, true_gco2e_per_kwh)
    at_issue = _non_interruptible(jobs.starting_at_once(extra_steps=0), true_gco2e_per_kwh, true_gco2e_per_kwh)
    return {
        "series_steps": len(true_gco2e_per_kwh),
        "series_mean_g_per_kwh": float(true_gco2e_per_kwh.mean()),
        "jobs": len(jobs.issue),
        "executed_job_steps": executed,
        "baseline_mean_g_per_kwh": baseline / executed,
        "start_at_issue_mean_g_per_kwh": at_issue / executed,
    }


REPRODUCTION = Reproduction(
    name="lets_wait_awhile",
    study="Let's Wait Awhile (Middleware 2021): jobs shifted to the next workday",
    tables=(
        PublishedTable(
            expected="expected_savings",
            keys=("region", "constraint", "execution"),
            answer=_savings,
            parameters=("forecast_error_pct", "window_half_hours"),
            tolerances={"savings_pct": "0.01", "published_pct": "0.05"},
        ),
        PublishedTable(
            expected="expected_nightly",
            keys=("region", "window_half_hours"),
            answer=_nights,
            tolerances={"savings_pct": "0.01", "published_pct": "0.05"},
            parameters=("constraint", "execution", "forecast_error_pct"),
        ),
        PublishedTable(
            expected="expected_baseline",
            keys=("region",),
            answer=_baselines,
            tolerances={
                "series_mean_g_per_kwh": "1e-6",
                "baseline_mean_g_per_kwh": "1e-6",
                "start_at_issue_mean_g_per_kwh": "1e-6",
            },
        ),
    ),
)
