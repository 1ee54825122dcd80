"""The same work under several policies, one row each: what each emits, what it saves, and what that costs in time.

All go through the same engine, queue and machines, and all workers stay warm until the last answer of any of them. Work
counts that every policy did and whose grid is known under each. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from simulations.results import Results, SideResult, priced, results_of, savings_ratio, side_results
from simulations.results_json import rounded
from simulations.runs import Inputs, Progress, Runs, named_conduct, run_sides, share_of
from simulations.scenario import PolicyKind
from simulations.side_items import FLEX, INTERACTIVE
from simulations.side_times import Spread
from simulations.summary import NOTHING, Row, masses, percent
from simulations.sweep import CONFIDENCE, Savings

ALL = tuple(PolicyKind)

# How each is called in tables.
TITLES = {
    PolicyKind.RUN_NOW: "run at once",
    PolicyKind.THRESHOLD: "threshold gate",
    PolicyKind.SUSPEND_RESUME: "suspend-resume",
    PolicyKind.LOWEST_SLOT: "lowest slot",
    PolicyKind.LOWEST_WINDOW: "lowest window",
    PolicyKind.CARBON_TIME: "carbon-time",
    PolicyKind.WAIT_AWHILE: "wait-awhile",
    PolicyKind.STATIC_REGION: "static region",
    PolicyKind.CARBON_AWARE: "Slacktide",
    PolicyKind.ORACLE: "oracle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy under each seed. Savings are signed, against running at once under the same seed."""

    kind: PolicyKind
    sides: tuple[SideResult, ...]
    savings: Savings

    def mean(self, of: Callable[[SideResult], float | None]) -> float | None:
        """Over the seeds; None where one of them has no number."""
        values = [of(side) for side in self.sides]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """Running at once first, the others in the order of `TITLES`; one of them is the scenario's own."""

    rows: tuple[PolicyRow, ...]

    @property
    def seeds(self) -> int:
        return len(self.rows[0].sides)

    @property
    def has_jobs(self) -> bool:
        return any(side.jobs for row in self.rows for side in row.sides)

    @property
    def has_models_to_choose(self) -> bool:
        return any(side.answered_well_ratio is not None for row in self.rows for side in row.sides)

    @property
    def shows_flex(self) -> bool:
        """Whether requests that may wait have columns of their own."""
        return not self.has_jobs and any(_spreads(side, FLEX) for row in self.rows for side in row.sides)

    @property
    def has_requests(self) -> bool:
        return any(side.requests for row in self.rows for side in row.sides)


def compared(
    every: Iterable[Inputs], others: Sequence[PolicyKind], progress: Progress = lambda ratio: None, count: int = 1
) -> tuple[Results, PolicyTable]:
    """The scenario's own policy beside running at once, and these as well, under each of `count` seeds.

    `every` has the inputs of one scenario, which differ in what is drawn; the results are those of the first.
    """
    first: Results | None = None
    kinds: list[PolicyKind] = []
    by_seed: list[list[SideResult]] = []
    for place, inputs in enumerate(every):
        own = inputs.scenario.policy.kind
        kinds = [kind for kind in TITLES if kind in {PolicyKind.RUN_NOW, own, *others}]
        conducts = [named_conduct(inputs, kind) for kind in kinds]
        sides, end_at_s = run_sides(inputs, conducts, share_of(progress, place, count))
        by_seed.append(side_results(sides, priced(sides, inputs), inputs))
        if first is None:
            runs = Runs(inputs=inputs, baseline=sides[0], policy=sides[kinds.index(own)], end_at_s=end_at_s)
            first = results_of(runs)
    assert first is not None, "no inputs"
    rows = (_row(kind, of_kind, by_seed) for kind, of_kind in zip(kinds, zip(*by_seed, strict=True), strict=True))
    return first, PolicyTable(rows=tuple(rows))


def _row(kind: PolicyKind, sides: tuple[SideResult, ...], by_seed: Sequence[Sequence[SideResult]]) -> PolicyRow:
    pairs = zip(by_seed, sides, strict=True)
    ratios = [savings_ratio(of_seed[0].emissions_gco2e, side.emissions_gco2e) for of_seed, side in pairs]
    return PolicyRow(kind=kind, sides=sides, savings=Savings.over(ratios))


def columns(table: PolicyTable) -> list[str]:
    """Latency is that of interactive requests; requests that may wait have columns where there are no jobs.

    Where models are chosen, the expected share of good answers stands beside what is saved.
    """
    names = ["policy", "CO2e", "saved", *(["from", "to"] if table.seeds > 1 else [])]
    names += [*(["good answers"] if table.has_models_to_choose else []), "late"]
    names += ["wait mean", "wait p99", "pauses"] if table.has_jobs else []
    names += ["latency p99"] if table.has_requests else []
    return names + (["flex mean", "flex p99"] if table.shows_flex else [])


def caption(table: PolicyTable) -> str:
    """What the numbers are; empty where there is one seed only."""
    return f"Means over {table.seeds} seeds; from, to: {CONFIDENCE}." if table.seeds > 1 else ""


def text_rows(table: PolicyTable) -> list[Row]:
    emitted = masses([row.mean(lambda side: side.emissions_gco2e) or 0.0 for row in table.rows])
    return [_text_row(table, row, words) for row, words in zip(table.rows, emitted, strict=True)]


def _text_row(table: PolicyTable, row: PolicyRow, emitted: str) -> Row:
    saved = row.savings
    cells = [TITLES[row.kind], emitted, percent(saved.mean_ratio)]
    cells += [percent(saved.low_ratio), percent(saved.high_ratio)] if table.seeds > 1 else []
    if table.has_models_to_choose:
        well_ratio = row.mean(lambda side: side.answered_well_ratio)
        cells.append(NOTHING if well_ratio is None else f"{well_ratio:.1%}")
    cells.append(_count(row.mean(lambda side: side.deadline_misses)))
    if table.has_jobs:
        cells += [_time(row.mean(lambda side: side.wait.mean_s)), _time(row.mean(lambda side: side.wait.p99_s))]
        cells.append(_count(row.mean(lambda side: side.pauses)))
    if table.has_requests:
        cells.append(_time(row.mean(lambda side: _most_p99_s(side, INTERACTIVE))))
    if table.shows_flex:
        cells += [_time(row.mean(waits_mean_s)), _time(row.mean(lambda side: _most_p99_s(side, FLEX)))]
    return tuple(cells)


def waits_mean_s(side: SideResult) -> float | None:
    """Of jobs; where there are none, the mean latency of requests that may wait."""
    if side.wait.mean_s is not None:
        return side.wait.mean_s
    return max((one.mean_s for one in _spreads(side, FLEX) if one.mean_s is not None), default=None)


def _count(mean_jobs: float | None) -> str:
    return NOTHING if mean_jobs is None else f"{mean_jobs:,.1f}".removesuffix(".0")


def _spreads(side: SideResult, kind: str) -> list[Spread]:
    return [spread for name, spread in side.latency_by_class.items() if name.endswith(f", {kind}")]


def _most_p99_s(side: SideResult, kind: str) -> float | None:
    """Of the slowest pool."""
    return max((one.p99_s for one in _spreads(side, kind) if one.p99_s is not None), default=None)


def _time(duration_s: float | None) -> str:
    """In one unit, so that a column can be read."""
    if duration_s is None:
        return NOTHING
    for size_s, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if duration_s >= 2 * size_s or (unit != "d" and duration_s >= size_s):
            return f"{duration_s / size_s:.1f} {unit}"
    return f"{duration_s:.3g} s"


def plain_table(table: PolicyTable) -> list[dict[str, Any]]:
    """As JSON, running at once first; means over the seeds."""
    return [rounded(_plain_row(table, row)) for row in table.rows]


def _plain_row(table: PolicyTable, row: PolicyRow) -> dict[str, Any]:
    return {
        "policy": row.kind.value,
        "seeds": table.seeds,
        "emissions_gco2e": row.mean(lambda side: side.emissions_gco2e),
        "energy_kwh": row.mean(lambda side: side.energy_kwh),
        "savings_ratio": row.savings.mean_ratio,
        "savings_low_ratio": row.savings.low_ratio,
        "savings_high_ratio": row.savings.high_ratio,
        "late": row.mean(lambda side: side.deadline_misses),
        "pauses": row.mean(lambda side: side.pauses),
        "wait_s": {"mean": row.mean(lambda side: side.wait.mean_s), "p99": row.mean(lambda side: side.wait.p99_s)},
        "latency_s": {
            "mean": row.mean(lambda side: side.latency.mean_s),
            "p99": row.mean(lambda side: side.latency.p99_s),
        },
        "unpriced_kwh": row.mean(lambda side: side.unpriced_kwh),
        "answered_well_ratio": row.mean(lambda side: side.answered_well_ratio),
    }
