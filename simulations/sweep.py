"""What a sweep varies, and what its runs say together: means, intervals over seeds, and the Pareto front.

Runs nothing and opens nothing. A mean over runs of which one has no number has none either.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.quantities import QuantityError, format_duration, parse_duration_s
from simulations.overrides import Override, parse_value, split_override
from simulations.results import Results
from simulations.scenario_tables import ScenarioError
from simulations.side_items import INTERACTIVE

Measure = float | int | None
OPTION = "--param"

# What savings are traded for: the measure, and how it is called in pictures.
TRADES = {
    "jobs_wait_p99_s": "p99 waiting of jobs",
    "interactive_latency_p99_s": "p99 latency of interactive requests",
    "late": "late jobs and requests",
    "answered_badly_ratio": "answers expected to be bad",
}

# Two-sided 95% quantiles of Student's t for 1 to 30 degrees of freedom. Source: any table of the distribution.
CONFIDENCE = "95% by Student's t over seeds"
_STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL_Z = 1.959964


# -- what varies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One path of the scenario and the values it takes; `labels` are for people."""

    path: tuple[str, ...]
    values: tuple[Any, ...]
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def override(self, place: int) -> Override:
        return Override(path=self.path, value=self.values[place], source=f"{OPTION} {self.name}={self.labels[place]}")


def parse_parameter(text: str) -> Parameter:
    """`PATH=A,B,C`, or `PATH=START:STOP:STEP` with both ends. Raises ScenarioError."""
    path, said = split_override(text, OPTION)
    ends = said.split(":")
    if len(ends) == 3 and all(_NUMBER.fullmatch(end) or _DURATION.fullmatch(end) for end in ends):
        values = _stepped(ends, f"{OPTION} {text}")
        is_timed = any(_DURATION.fullmatch(end) for end in ends)
        labels = [format_duration(value) if is_timed else f"{value:g}" for value in values]
    else:
        values, labels = _listed(said)
    if not said or not values:
        raise ScenarioError(f"{OPTION} {text}", "has no values", "write them like 6h,12h,24h or 0:48h:6h")
    return Parameter(path=path, values=tuple(values), labels=tuple(labels))


_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DURATION = re.compile(r"(\d+(\.\d+)?[a-z]+)+")


def _stepped(ends: Sequence[str], source: str) -> list[Any]:
    try:
        start, stop, step = (parse_duration_s(end) if _DURATION.fullmatch(end) else float(end) for end in ends)
    except QuantityError as error:
        raise ScenarioError(source, str(error)) from None
    if step == 0 or (stop - start) / step < 0:
        raise ScenarioError(source, "never gets from its start to its stop", "write START:STOP:STEP, such as 0:48h:6h")
    # The tolerance keeps 0:1:0.1 at eleven values.
    count = math.floor((stop - start) / step + 1e-9) + 1
    values = [round(start + place * step, 9) for place in range(count)]
    return [int(value) if value == int(value) else value for value in values]


def _listed(said: str) -> tuple[list[Any], list[str]]:
    """Values that are TOML between commas, so that lists and texts may hold commas; else what commas part."""
    parts = [part.strip() for part in said.split(",") if part.strip()]
    whole = parse_value(f"[{said}]")
    if isinstance(whole, list) and len(whole) != len(parts):
        return whole, [str(value) for value in whole]
    return [parse_value(part) for part in parts], [part.strip('"') for part in parts]


def points_of(parameters: Sequence[Parameter]) -> list[tuple[int, ...]]:
    """The cartesian product as places of values, the last parameter fastest."""
    return list(itertools.product(*(range(len(one.values)) for one in parameters)))


# -- what one run says -----------------------------------------------------------------------------------------------


def measures_of(results: Results) -> dict[str, Measure]:
    """The numbers of one run that a sweep keeps; each says its unit in its name."""
    baseline, policy = results.baseline, results.policy
    interactive = [
        spread.p99_s for name, spread in policy.latency_by_class.items() if name.endswith(f", {INTERACTIVE}")
    ]
    return {
        "savings_ratio": results.savings_ratio,
        "avoided_gco2e": results.avoided_gco2e,
        "baseline_gco2e": baseline.emissions_gco2e,
        "policy_gco2e": policy.emissions_gco2e,
        "baseline_kwh": baseline.energy_kwh,
        "policy_kwh": policy.energy_kwh,
        "unpriced_kwh": policy.unpriced_kwh,
        "late": policy.deadline_misses,
        "late_jobs": policy.late_jobs,
        "late_requests": policy.late_requests,
        "baseline_late": baseline.deadline_misses,
        "deadline_misses_baseline_met": results.deadline_misses_baseline_met,
        "jobs_wait_p50_s": policy.wait.p50_s,
        "jobs_wait_p99_s": policy.wait.p99_s,
        "answered_badly_ratio": None if policy.answered_well_ratio is None else 1.0 - policy.answered_well_ratio,
        "interactive_latency_p99_s": max((one for one in interactive if one is not None), default=None),
    }


# -- what all runs say -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Mean over seeds; no interval where there is one seed only."""

    mean_ratio: float | None
    low_ratio: float | None
    high_ratio: float | None

    @classmethod
    def over(cls, ratios: Sequence[Measure]) -> Savings:
        known_ratio = [one for one in ratios if one is not None]
        if len(known_ratio) < len(ratios) or not known_ratio:
            return cls(mean_ratio=None, low_ratio=None, high_ratio=None)
        mean_ratio, count = sum(known_ratio) / len(known_ratio), len(known_ratio)
        if count == 1:
            return cls(mean_ratio=mean_ratio, low_ratio=None, high_ratio=None)
        deviation_ratio = math.sqrt(sum((one - mean_ratio) ** 2 for one in known_ratio) / (count - 1))
        half_ratio = student_t(count - 1) * deviation_ratio / math.sqrt(count)
        return cls(mean_ratio=mean_ratio, low_ratio=mean_ratio - half_ratio, high_ratio=mean_ratio + half_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointResult:
    """One combination of values: means over its seeds, and in which trades it is on the Pareto front."""

    labels: tuple[str, ...]
    values: tuple[Any, ...]
    runs: int
    savings: Savings
    means: Mapping[str, Measure]
    fronts: frozenset[str] = frozenset()


def student_t(degrees: int) -> float:
    """The two-sided 95% quantile; beyond the table by Fisher's expansion, within 0.001."""
    if degrees <= len(_STUDENT_T):
        return _STUDENT_T[degrees - 1]
    return _NORMAL_Z + (_NORMAL_Z**3 + _NORMAL_Z) / (4 * degrees)


def means_of(runs: Sequence[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Of each measure over runs; None where a run has none."""
    return {name: _mean([run[name] for run in runs]) for name in runs[0]}


def _mean(values: Sequence[Measure]) -> Measure:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def trades_of(points: Iterable[PointResult]) -> dict[str, str]:
    """The trades of this sweep: those whose measure every point knows and that is not the same everywhere."""
    listed = list(points)
    found = {}
    for name, title in TRADES.items():
        means = [point.means[name] for point in listed]
        if None not in means and len(set(means)) > 1:
            found[name] = title
    return found


def front(gains: Sequence[Measure], losses: Sequence[Measure]) -> list[bool]:
    """Whether no other point gains as much for less, or more for as little; never where a number is missing."""
    known = [(gain, loss) for gain, loss in zip(gains, losses, strict=True) if gain is not None and loss is not None]
    return [
        gain is not None
        and loss is not None
        and not any(other >= gain and cost <= loss and (other > gain or cost < loss) for other, cost in known)
        for gain, loss in zip(gains, losses, strict=True)
    ]
