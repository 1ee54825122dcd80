"""A comparison in words and rows of text, the same on screen and in the report. Computes nothing new."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.quantities import format_duration
from simulations.job_costs import JobCosts
from simulations.results import Results, SideResult
from simulations.side_items import FLEX, IDLE
from simulations.side_times import Spread

Row = tuple[str, ...]
NOTHING = "\N{EN DASH}"
MASS_UNITS = ((1e6, "t"), (1e3, "kg"))


def headline(results: Results) -> str:
    """The one sentence that matters."""
    ratio = results.savings_ratio
    name = results.runs.inputs.scenario.name
    if ratio is None:
        return f"{name}: nothing was emitted, or nothing is known of the grid"
    verb = "saves" if ratio >= 0 else "costs"
    amount = mass(abs(results.avoided_gco2e))
    return (
        f"{name}: the policy {verb} {abs(ratio):.1%} of emissions ({amount}), {deadlines(results)}{_quality(results)}"
    )


def _quality(results: Results) -> str:
    """What routing pays for its grams, always beside them."""
    before, after = results.baseline.answered_well_ratio, results.policy.answered_well_ratio
    if before is None or after is None:
        return ""
    return f"; {after:.1%} of answers are expected to be good instead of {before:.1%}"


def deadlines(results: Results) -> str:
    """What it cost in lateness, always beside the savings."""
    count = results.deadline_misses_baseline_met
    if count == 0:
        return "and misses no deadline that running at once would have met"
    return f"and misses {count} deadline{'s' if count > 1 else ''} that running at once would have met"


def side_rows(results: Results) -> list[Row]:
    """Name, baseline, policy."""
    sides = (results.baseline, results.policy)
    rows: list[Row] = [
        ("emissions", *(mass(side.emissions_gco2e) for side in sides)),
        ("energy", *(energy(side.energy_kwh) for side in sides)),
        *_energy_bands(sides),
        ("mean intensity met", *(_intensity(side) for side in sides)),
    ]
    if any(side.unpriced_kwh for side in sides):
        rows.append(("energy left out, grid unknown", *(energy(side.unpriced_kwh) for side in sides)))
    if results.runs.inputs.jobs:
        rows += _job_rows(sides)
    if results.job_costs is not None:
        rows += _cost_rows(results.job_costs)
    if results.runs.inputs.requests:
        rows += _request_rows(sides)
    return rows


def _energy_bands(sides: tuple[SideResult, SideResult]) -> list[Row]:
    """Nothing where all energy is by stated power, which has no error of ours."""
    if all(side.energy_band_kwh.low == side.energy_band_kwh.high for side in sides):
        return []
    return [
        ("energy, 80% band", *(" to ".join(map(energy, side.energy_band_kwh)) for side in sides)),
    ]


def _job_rows(sides: tuple[SideResult, SideResult]) -> list[Row]:
    rows: list[Row] = [
        ("jobs finished", *(f"{side.jobs:,}" for side in sides)),
        ("jobs late", *(f"{side.late_jobs:,}" for side in sides)),
        ("job waiting, median", *(_time(side.wait.p50_s) for side in sides)),
        ("job waiting, p99", *(_time(side.wait.p99_s) for side in sides)),
    ]
    if any(side.jobs_never_run for side in sides):
        rows.insert(1, ("jobs too large for any region", *(f"{side.jobs_never_run:,}" for side in sides)))
    return rows


def _cost_rows(costs: JobCosts) -> list[Row]:
    """What jobs cost beside the grams of their energy; a unit that is not known on a side is left out."""
    sides = (costs.baseline, costs.policy)
    rows: list[Row] = []
    if any(side.embodied_gco2e for side in sides):
        rows.append(("jobs: embodied carbon", *(mass(side.embodied_gco2e) for side in sides)))
    usd, water = [side.usd for side in sides], [side.water_l for side in sides]
    if None not in usd:
        rows.append(("jobs: electricity and hire", *(f"{one:,.2f} USD" for one in usd)))
    if None not in water:
        rows.append(("jobs: water", *(f"{one:,.0f} l" for one in water)))
    values = (costs.baseline_cost, costs.policy_cost)
    if costs.unit == "weighted" and None not in values:
        rows.append(("jobs: objective", *(f"{one:,.6g}" for one in values)))
    return rows


def _request_rows(sides: tuple[SideResult, SideResult]) -> list[Row]:
    rows: list[Row] = [("requests answered", *(f"{side.requests:,}" for side in sides))]
    if any(side.requests_dropped for side in sides):
        rows.append(("requests too large for a worker", *(f"{side.requests_dropped:,}" for side in sides)))
    if any(side.preemptions for side in sides):
        rows.append(("preemptions", *(f"{side.preemptions:,}" for side in sides)))
    if any(side.answered_well_ratio is not None for side in sides):
        rows.append(("answered well, expected", *(_share(side.answered_well_ratio) for side in sides)))
    for name in sides[0].latency_by_class:
        spreads = [side.latency_by_class[name] for side in sides]
        rows.append((f"{name}: latency p50 / p99", *(_pair(spread) for spread in spreads)))
    if any(name.endswith(FLEX) for name in sides[0].latency_by_class):
        rows.append(("requests late", *(f"{side.late_requests:,}" for side in sides)))
    return rows


def class_rows(results: Results) -> list[Row]:
    """Name, items, energy, baseline, policy, savings; classes that used nothing are left out."""
    return [
        (
            one.name,
            NOTHING if one.name.endswith(IDLE) else f"{one.items:,}",
            _kwh(one.policy_kwh),
            mass(one.baseline_gco2e),
            mass(one.policy_gco2e),
            percent(one.savings_ratio),
        )
        for one in sorted(results.by_class, key=lambda one: -one.baseline_gco2e)
        if one.baseline_kwh or one.policy_kwh
    ]


def masses(emissions_gco2e: Sequence[float]) -> list[str]:
    """Of a column: one unit for all, that of the largest, which has three digits."""
    most_g = max(map(abs, emissions_gco2e), default=0.0)
    size, unit = next(((size, unit) for size, unit in MASS_UNITS if most_g >= size), (1.0, "g"))
    decimals = next((number for number, below in ((2, 10.0), (1, 100.0)) if most_g / size < below), 0)
    return [f"{grams / size:,.{decimals}f} {unit}" for grams in emissions_gco2e]


def mass(emissions_gco2e: float) -> str:
    """Grams as g, kg or t CO2e."""
    for size, unit in MASS_UNITS:
        if abs(emissions_gco2e) >= size:
            return f"{emissions_gco2e / size:,.3g} {unit} CO2e"
    return f"{emissions_gco2e:,.3g} g CO2e"


def energy(energy_kwh: float) -> str:
    if energy_kwh >= 10_000:
        return f"{energy_kwh / 1000:,.2f} MWh"
    if 0 < energy_kwh < 0.1:
        return f"{energy_kwh * 1000:.3g} Wh"
    return f"{_kwh(energy_kwh)} kWh"


def _kwh(energy_kwh: float) -> str:
    """A small number with as many digits as show that it is not nothing."""
    if energy_kwh >= 10 or energy_kwh == 0:
        return f"{energy_kwh:,.1f}"
    return f"{energy_kwh:.2f}" if energy_kwh >= 0.1 else f"{energy_kwh:.2g}"


def percent(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:+.1%}"


def _share(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.1%}"


def _intensity(side: SideResult) -> str:
    value = side.mean_gco2e_per_kwh
    return NOTHING if value is None else f"{value:,.0f} g/kWh"


def _time(duration_s: float | None) -> str:
    return NOTHING if duration_s is None else format_duration(duration_s)


def _pair(spread: Spread) -> str:
    return f"{_time(spread.p50_s)} / {_time(spread.p99_s)}"
