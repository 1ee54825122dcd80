"""What planning on recorded forecasts saves, beside an oracle: by zone, slack, and what the planner does with them.

    python -m benchmarks.forecast_savings                the table of every zone and slack
    python -m benchmarks.forecast_savings --choices      the variants that were tried, on both halves of the record
    python -m benchmarks.forecast_savings --errors       the errors by horizon, and how often the learned band holds
    python -m benchmarks.forecast_savings --plot FILE    the table, and a picture of it

A job of 4 h in one piece is released at every 00:00 UTC of the second half of 2021 and may start until the slack is
over. Its emissions are the actual ones of the window that was chosen; the saving is against starting at once, as a
ratio of sums over all releases. Windows come from the product's search. Nothing is seen before it is there: a forecast
from its time of issue on, an actual hour once it is over (`--choices` has 3 h later as well). What is learned is
learned from that, as time goes on; July to September chose between the variants, October to December tells what the
choice is worth.
Needs the recorded forecasts in ../shared/data, or in SLACKTIDE_DATA.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.forecast_savings_plot import Bar, save_plot
from benchmarks.forecast_savings_views import HOUR_S, Recorded, View, Views, read_recorded, seen, walked_errors
from benchmarks.forecast_savings_views import VARIANTS as VIEWS
from intensity_feeds.forecast_correction import band
from intensity_feeds.forecast_errors import HORIZON_EDGES_H, ForecastErrors, Issue, by_horizon, scored
from intensity_feeds.forecast_errors import recorded as remembered
from intensity_feeds.series import IntensitySeries
from scheduler.planning.curve import curve
from scheduler.planning.one_job.window import Window, cheapest_window

DURATION_S = 4 * HOUR_S
DAY_AHEAD = "forecasts/dacf_dayahead_2021H2_4zones.csv.gz"
FOUR_DAYS = "forecasts/derived_ridge_96h_2021H2_8zones.csv.gz"
SLACKS_H: Mapping[str, tuple[int, ...]] = {DAY_AHEAD: (20,), FOUR_DAYS: (20, 44, 68, 92)}
NAMES = {DAY_AHEAD: "day-ahead", FOUR_DAYS: "96 h"}
SECOND_HALF_AT_S = 1633046400.0  # 2021-10-01T00:00Z


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a planner looks at (`view`, see VARIANTS), how often it plans again, and what it takes to move a plan."""

    name: str
    view: str = "as issued"
    every_h: int | None = None
    hysteresis_ratio: float = 0.0


PLAIN = Policy(name="plain")
NEWER = Policy(name="newer forecasts", every_h=24)
CORRECTED = Policy(name="and newest error", view="newest error", every_h=1)
CHOICES = (
    PLAIN,
    Policy(name="plain, usual error of the hour", view="usual error of the hour"),
    Policy(name="plain, learned p90", view="learned p90"),
    Policy(name="plain, the file's p90", view="recorded p90"),
    Policy(name="plain, the file's p10", view="recorded p10"),
    NEWER,
    Policy(name="newer, usual error of the hour", view="usual error of the hour", every_h=24),
    Policy(name="newer, hope for what is unsettled", view="hopeful", every_h=24),
    CORRECTED,
    Policy(name="newest error, known 3 h late", view="newest error, 3 h late", every_h=1),
    Policy(name="newest error, moved for 1%", view="newest error", every_h=1, hysteresis_ratio=0.01),
    Policy(name="newest error, moved for 5%", view="newest error", every_h=1, hysteresis_ratio=0.05),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Sums over releases of the mean intensity of the window at once, of the policy's, and of the best there was."""

    releases: int
    at_once_gco2e_per_kwh: float
    chosen_gco2e_per_kwh: float
    best_gco2e_per_kwh: float

    @property
    def savings_percent(self) -> float:
        return 100 * (1 - self.chosen_gco2e_per_kwh / self.at_once_gco2e_per_kwh)

    @property
    def oracle_percent(self) -> float:
        return 100 * (1 - self.best_gco2e_per_kwh / self.at_once_gco2e_per_kwh)


def outcome(recorded: Recorded, view: View, policy: Policy, slack_h: int, releases_at_s: Iterable[float]) -> Outcome:
    """What `policy` does with every release whose whole slack is on record."""
    sums, releases = np.zeros(3), 0
    for release_s in releases_at_s:
        deadline_s = release_s + slack_h * HOUR_S + DURATION_S
        if not recorded.actual.covers(release_s, deadline_s):
            continue
        best = window(recorded.actual, release_s, deadline_s)
        start_s = start_at_s(view, policy, release_s, deadline_s)
        assert best is not None
        starts = np.array((release_s, start_s, best.start_at_s))
        sums += recorded.actual.window_integrals_g_s_per_kwh(starts, DURATION_S) / DURATION_S
        releases += 1
    at_once, chosen, oracle = sums.tolist()
    return Outcome(
        releases=releases,
        at_once_gco2e_per_kwh=at_once,
        chosen_gco2e_per_kwh=chosen,
        best_gco2e_per_kwh=oracle,
    )


def start_at_s(view: View, policy: Policy, release_s: float, deadline_s: float) -> float:
    """When the job begins: planned at its release, and again as the policy says until its start has come."""
    planned_s = _planned(view(release_s), release_s, deadline_s, None, 0.0)
    now_s = release_s
    while policy.every_h is not None and planned_s > now_s:
        now_s = min(planned_s, now_s + HOUR_S)
        if (now_s - release_s) % (policy.every_h * HOUR_S) == 0:
            planned_s = _planned(view(now_s), now_s, deadline_s, planned_s, policy.hysteresis_ratio)
    return planned_s


def _planned(
    forecast: IntensitySeries, now_s: float, deadline_s: float, planned_s: float | None, hysteresis_ratio: float
) -> float:
    """The start of the cheapest window; the plan so far stays unless that is better by the margin."""
    found = window(forecast, now_s, deadline_s)
    if found is None:  # nothing of the time left is known: as planned, else at once
        return now_s if planned_s is None else planned_s
    if planned_s is None or not forecast.covers(planned_s, planned_s + DURATION_S):
        return found.start_at_s
    as_planned = forecast.integral_g_s_per_kwh(planned_s, planned_s + DURATION_S)
    is_better = found.integral_g_s_per_kwh < as_planned * (1 - hysteresis_ratio)
    return found.start_at_s if is_better else planned_s


def window(series: IntensitySeries, earliest_s: float, deadline_s: float) -> Window | None:
    part = curve("here", series, 1.0, earliest_s, deadline_s)
    return None if part is None else cheapest_window([part], DURATION_S, earliest_s, deadline_s)


# -- tables ----------------------------------------------------------------------------------------------------------


def halves(recorded: Recorded) -> tuple[list[float], list[float]]:
    """Releases that choose, and releases that tell."""
    issued = [issue.start_at_s for issue in recorded.issues]
    return [one for one in issued if one < SECOND_HALF_AT_S], [one for one in issued if one >= SECOND_HALF_AT_S]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: the whole record as issued, and the second half under each policy."""

    file: str
    zone: str
    slack_h: int
    whole: Outcome
    second: tuple[Outcome, ...]


def rows(file: str, zones: Sequence[str] | None) -> Iterable[Row]:
    for zone, recorded in read_recorded(file, zones).items():
        views = {policy.view: seen(recorded, VIEWS[policy.view]) for policy in (PLAIN, NEWER, CORRECTED)}
        first, second = halves(recorded)
        for slack_h in SLACKS_H[file]:
            told = [outcome(recorded, views[one.view], one, slack_h, second) for one in (PLAIN, NEWER, CORRECTED)]
            whole = outcome(recorded, views[PLAIN.view], PLAIN, slack_h, [*first, *second])
            yield Row(file=file, zone=zone, slack_h=slack_h, whole=whole, second=tuple(told))


def table(found: Sequence[Row]) -> str:
    lines = [
        "| forecast | zone | slack | oracle | plain | | oracle, Oct-Dec | plain | newer forecasts | and newest error |",
        "|---|---|--:|--:|--:|---|--:|--:|--:|--:|",
    ]
    for row in found:
        told = " | ".join(f"{one.savings_percent:.1f}" for one in row.second)
        lines.append(
            f"| {NAMES[row.file]} | {row.zone} | {row.slack_h} h | {row.whole.oracle_percent:.1f} | "
            f"{row.whole.savings_percent:.1f} | | {row.second[0].oracle_percent:.1f} | {told} |"
        )
    for file, slack_h in sorted({(row.file, row.slack_h) for row in found}):
        lines.append(_mean_line([row for row in found if (row.file, row.slack_h) == (file, slack_h)]))
    return "\n".join(lines)


def _mean_line(alike: Sequence[Row]) -> str:
    def mean(values: Iterable[float]) -> str:
        return f"{np.mean(list(values)):.1f}"

    told = " | ".join(mean(row.second[place].savings_percent for row in alike) for place in range(3))
    return (
        f"| {NAMES[alike[0].file]} | mean | {alike[0].slack_h} h | {mean(row.whole.oracle_percent for row in alike)} | "
        f"{mean(row.whole.savings_percent for row in alike)} | | "
        f"{mean(row.second[0].oracle_percent for row in alike)} | {told} |"
    )


def choices(file: str, zones: Sequence[str] | None) -> str:
    """Mean savings over the zones, of every variant, on the half that chose and the half that tells."""
    policies = [one for one in CHOICES if file == FOUR_DAYS or not one.view.startswith("recorded")]
    slacks_h = SLACKS_H[file]
    sums: dict[tuple[str, int, int], list[float]] = {}
    for recorded in read_recorded(file, zones).values():
        views: Views = {name: seen(recorded, VIEWS[name]) for name in {one.view for one in policies}}
        for policy in policies:
            for slack_h in slacks_h:
                for half, releases in enumerate(halves(recorded)):
                    told = outcome(recorded, views[policy.view], policy, slack_h, releases)
                    sums.setdefault((policy.name, slack_h, half), []).append(told.savings_percent)
    heads = [f"{slack_h} h, {half}" for slack_h in slacks_h for half in ("Jul-Sep", "Oct-Dec")]
    lines = [f"| {NAMES[file]} | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for policy in policies:
        means = [f"{np.mean(sums[policy.name, slack_h, half]):.2f}" for slack_h in slacks_h for half in (0, 1)]
        lines.append(f"| {policy.name} | {' | '.join(means)} |")
    return "\n".join(lines)


# -- errors ----------------------------------------------------------------------------------------------------------


def errors_table(file: str, zones: Sequence[str] | None) -> str:
    """Bias and error by horizon over the record, and how often the band that had been learned by then held."""
    lines = [
        f"| {NAMES[file]} | horizon | MAE, g/kWh | bias, g/kWh | MAPE, % | in p10 to p90, Oct-Dec, % |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for zone, recorded in read_recorded(file, zones).items():
        held = bands_that_held(recorded)
        for one in by_horizon(ForecastErrors(zone=zone, issues=recorded_issues(recorded))):
            share = held.get(one.from_h, [])
            inside = f"{100 * np.mean(share):.0f}" if share else ""
            mape = "" if one.mape_ratio is None else f"{100 * one.mape_ratio:.1f}"
            lines.append(
                f"| {zone} | {one.name} | {one.mae_gco2e_per_kwh:.1f} | {one.bias_gco2e_per_kwh:+.1f} | {mape} | "
                f"{inside} |"
            )
    return "\n".join(lines)


def recorded_issues(recorded: Recorded) -> tuple[Issue, ...]:
    """Every forecast of the record beside what came: more than the product remembers."""
    zone, end_s = recorded.actual.zone, recorded.actual.end_at_s
    one_by_one = (remembered(ForecastErrors(zone=zone), one, one.start_at_s) for one in recorded.issues)
    return tuple(scored(errors, recorded.actual, end_s).issues[0] for errors in one_by_one)


def bands_that_held(recorded: Recorded) -> dict[int, list[bool]]:
    """By where its stretch of horizons begins: whether each hour lay between p10 and p90."""
    found: dict[int, list[bool]] = {}
    for errors, issue in walked_errors(recorded):
        said = band(errors, issue) if issue.start_at_s >= SECOND_HALF_AT_S else None
        if said is None:
            continue
        (whole,) = recorded_issues(replace(recorded, issues=(issue,)))
        low, high = said.p10.gco2e_per_kwh, said.p90.gco2e_per_kwh
        for hour, actual in enumerate(whole.actual_gco2e_per_kwh.tolist()):
            if not np.isnan(actual + low[hour]):
                from_h = max(edge for edge in HORIZON_EDGES_H if edge <= hour)
                found.setdefault(from_h, []).append(bool(low[hour] <= actual <= high[hour]))
    return found


# -- command ---------------------------------------------------------------------------------------------------------


def save(found: Sequence[Row], path: Path) -> None:
    bars = [
        Bar(
            zone=row.zone,
            slack_h=row.slack_h,
            oracle_percent=row.second[0].oracle_percent,
            savings_percent=tuple(one.savings_percent for one in row.second),
        )
        for row in found
        if row.file == FOUR_DAYS
    ]
    title = "A 4 h job planned on recorded 96 h forecasts, October to December 2021"
    save_plot(bars, ("plain", "newer forecasts", "newer forecasts and newest error"), title, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zone", nargs="*", default=None, help="zones of the files; all by default")
    parser.add_argument("--choices", action="store_true", help="the variants that were tried")
    parser.add_argument("--errors", action="store_true", help="errors by horizon and how often the band holds")
    parser.add_argument("--plot", type=Path, help="also write the table as a picture")
    asked = parser.parse_args()
    if asked.choices:
        print("\n\n".join(choices(file, asked.zone) for file in SLACKS_H))
    elif asked.errors:
        print("\n\n".join(errors_table(file, asked.zone) for file in SLACKS_H))
    else:
        found = [row for file in SLACKS_H for row in rows(file, asked.zone)]
        print(table(found))
        if asked.plot is not None:
            save(found, asked.plot)


if __name__ == "__main__":
    main()
