"""The same work under several policies, one row each: what each emits, what it saves, and what that costs in time.

All go through the same engine, queue and machines, and all workers stay warm until the last answer of any of them. Work
counts that every policy did and whose grid is known under each. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulations.results import (
    FLEX,
    INTERACTIVE,
    Results,
    SideResult,
    Spread,
    priced,
    results_of,
    rounded,
    savings_ratio,
    side_results,
)
from simulations.runs import Inputs, Progress, Runs, named_conduct, run_sides
from simulations.scenario import PolicyKind
from simulations.summary import NOTHING, Row, mass, percent

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
    """One policy. `savings_ratio` is signed; None where running at once emits nothing."""

    kind: PolicyKind
    side: SideResult
    savings_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """Running at once first, the others in the order of `TITLES`; one of them is the scenario's own."""

    rows: tuple[PolicyRow, ...]
    own: PolicyKind

    @property
    def has_jobs(self) -> bool:
        return any(row.side.jobs for row in self.rows)

    @property
    def has_requests(self) -> bool:
        return any(row.side.requests for row in self.rows)


def compared(
    inputs: Inputs, others: Sequence[PolicyKind], progress: Progress = lambda ratio: None
) -> tuple[Results, PolicyTable]:
    """The scenario's own policy beside running at once, and these as well."""
    own = inputs.scenario.policy.kind
    wanted = {PolicyKind.RUN_NOW, own, *others}
    kinds = [kind for kind in TITLES if kind in wanted]
    sides, end_at_s = run_sides(inputs, [named_conduct(inputs, kind) for kind in kinds], progress)
    shown = side_results(sides, priced(sides, inputs), inputs)
    at_once_gco2e = shown[0].emissions_gco2e
    rows = tuple(
        PolicyRow(kind=kind, side=side, savings_ratio=savings_ratio(at_once_gco2e, side.emissions_gco2e))
        for kind, side in zip(kinds, shown, strict=True)
    )
    runs = Runs(inputs=inputs, baseline=sides[0], policy=sides[kinds.index(own)], end_at_s=end_at_s)
    return results_of(runs), PolicyTable(rows=rows, own=own)


def columns(table: PolicyTable) -> list[str]:
    """Latency is that of interactive requests; requests that may wait have columns where no jobs have."""
    names = ["policy", "CO2e", "saved", "late"]
    names += ["wait mean", "wait p99", "pauses"] if table.has_jobs else []
    names += ["latency p99"] if table.has_requests else []
    return names + (["flex mean", "flex p99"] if table.has_requests and not table.has_jobs else [])


def text_rows(table: PolicyTable) -> list[Row]:
    return [_text_row(table, row) for row in table.rows]


def _text_row(table: PolicyTable, row: PolicyRow) -> Row:
    side = row.side
    grams = mass(side.emissions_gco2e).removesuffix(" CO2e")
    cells = [TITLES[row.kind], grams, percent(row.savings_ratio), f"{side.deadline_misses:,}"]
    if table.has_jobs:
        cells += [_time(side.wait.mean_s), _time(side.wait.p99_s), f"{side.pauses:,}"]
    if table.has_requests:
        cells.append(_time(_most([one.p99_s for one in _spreads(side, INTERACTIVE)])))
    if table.has_requests and not table.has_jobs:
        flex = _spreads(side, FLEX)
        cells += [_time(_most([one.mean_s for one in flex])), _time(_most([one.p99_s for one in flex]))]
    return tuple(cells)


def _spreads(side: SideResult, kind: str) -> list[Spread]:
    return [spread for name, spread in side.latency_by_class.items() if name.endswith(f", {kind}")]


def _most(times_s: Sequence[float | None]) -> float | None:
    """Of the slowest pool."""
    return max((one for one in times_s if one is not None), default=None)


def _time(duration_s: float | None) -> str:
    """In one unit, so that a column can be read."""
    if duration_s is None:
        return NOTHING
    for size_s, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if duration_s >= 2 * size_s or (unit != "d" and duration_s >= size_s):
            return f"{duration_s / size_s:.1f} {unit}"
    return f"{duration_s:.3g} s"


def plain_table(table: PolicyTable) -> list[dict[str, Any]]:
    """As JSON, running at once first."""
    return [
        rounded(
            {
                "policy": row.kind.value,
                "emissions_gco2e": row.side.emissions_gco2e,
                "energy_kwh": row.side.energy_kwh,
                "savings_ratio": row.savings_ratio,
                "late": row.side.deadline_misses,
                "pauses": row.side.pauses,
                "wait_s": row.side.wait.plain(),
                "latency_s": row.side.latency.plain(),
                "unpriced_kwh": row.side.unpriced_kwh,
            }
        )
        for row in table.rows
    ]
