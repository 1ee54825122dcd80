"""FLEET.toml: the grid a fleet runs on, its regions, and what its plan is chosen by. Decides what the keys mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.file_places import nearest_of
from slacktide.fleet_budgets import budgets
from slacktide.fleet_holds import maintenance, week_hours
from slacktide.fleet_pools import pools
from slacktide.fleet_tables import Tables
from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from intensity_feeds.prices import PriceSeries
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.plan import Region
    from scheduler.planning.whole_fleet.holds import WeekHours
    from scheduler.planning.whole_fleet.objective import Limit, Limited, Objective, Site, Weights
    from scheduler.planning.whole_fleet.rules.budgets import Budget
    from scheduler.planning.whole_fleet.rules.transfers import Link
    from scheduler.planning.whole_fleet.token_pools import Pool

_H_PER_YEAR = 8766.0
_DEFAULT_LIFETIME_YEARS = 4.0
_SIGNALS = ("average", "marginal")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFile:
    """Regions are named by their zone unless they say otherwise; a cap limits facility power, PUE included.

    `regions` hold what is out of service; what is `reserved` by the week `regions_between` adds.
    """

    regions: tuple[Region, ...]
    reserved: Mapping[str, tuple[WeekHours, ...]]
    forecasts: Mapping[str, IntensitySeries]
    power_caps_w: Mapping[str, float]
    sites: Mapping[str, Site]
    objective: Objective
    budgets: tuple[Budget, ...]
    link: Link | None
    pools: tuple[Pool, ...]

    def regions_between(self, from_s: float, to_s: float) -> list[Region]:
        """The regions with everything that they hold in the interval."""
        from dataclasses import replace

        from scheduler.planning.whole_fleet.holds import together

        found: list[Region] = []
        for region in self.regions:
            weekly = [hold for rule in self.reserved[region.name] for hold in rule.between(from_s, to_s)]
            found.append(replace(region, held=together([*region.held, *weekly], region.gpus)))
        return found


def read_fleet(path: Path) -> FleetFile:
    """The fleet with its grid; files it names are sought beside it, then in the working folder. Raises UsageProblem."""
    tables = Tables.of(path)
    trace = tables.file(("carbon", "trace"))
    regions = _regions(tables)
    objective = _objective(tables)
    sites = _sites(tables, regions)
    found_budgets = budgets(tables)
    _refuse_unknown_costs(tables, regions, sites, objective, found_budgets)
    if objective.weights.per_waiting_kwh_h > 0 and any(one.speed != 1 or one.power_ratio != 1 for one in regions):
        where, hint = ("objective", "waiting_kwh_h"), "leave it out, or speed and power_ratio"
        raise tables.wrong(where, "waiting is weighed by energy, which here depends on the region", hint)
    return FleetFile(
        regions=tuple(regions),
        reserved={one.name: week_hours(tables, index, one.gpus) for index, one in enumerate(regions)},
        forecasts=_forecasts(trace, tables, regions),
        power_caps_w=_power_caps_w(tables),
        sites=sites,
        objective=objective,
        budgets=found_budgets,
        link=_link(tables),
        pools=_pools(tables, regions, objective),
    )


# -- the grid --------------------------------------------------------------------------------------------------------


def _forecasts(trace: Path, tables: Tables, regions: list[Region]) -> Mapping[str, IntensitySeries]:
    from intensity_feeds.trace import TraceError, read_trace

    try:
        series = read_trace(trace, column=_column(trace, tables))
    except TraceError as problem:
        raise UsageProblem(str(problem)) from None
    for index, region in enumerate(regions):
        if region.zone not in series:
            hint = nearest_of(region.zone, tuple(sorted(series)))
            raise tables.wrong(("region", index, "zone"), f"{trace.name} has no zone {region.zone}", hint)
    return {region.zone: series[region.zone] for region in regions}


def _column(trace: Path, tables: Tables) -> str | None:
    """The trace's first column of the signal that is asked for; None takes the first of any."""
    from intensity_feeds.trace import COLUMNS, TraceError
    from intensity_feeds.trace_rows import opened

    signal = tables.table("carbon").get("signal")
    if signal is None:
        return None
    if signal not in _SIGNALS:
        raise tables.wrong(("carbon", "signal"), f"signal = {signal!r}", f"write {' or '.join(_SIGNALS)}")
    try:
        with opened(trace) as rows:
            found = [name for name, (kind, _) in COLUMNS.items() if kind == signal and name in rows.header]
    except TraceError as problem:
        raise UsageProblem(str(problem)) from None
    if not found:
        columns = " or ".join(name for name, (kind, _) in COLUMNS.items() if kind == signal)
        raise tables.wrong(("carbon", "signal"), f"{trace.name} has no {signal} intensities", f"give it {columns}")
    return found[0]


# -- regions ---------------------------------------------------------------------------------------------------------


def _regions(tables: Tables) -> list[Region]:
    from scheduler.planning.plan import Region
    from scheduler.planning.whole_fleet.holds import together

    found: list[Region] = []
    for index, table in enumerate(tables.regions):
        zone = tables.text(("region", index, "zone"), "DE")
        key = "name" if "name" in table else "zone"
        name = tables.text(("region", index, key), "DE")
        if any(other.name == name for other in found):
            hint = "give its GPUs in one [[region]], or other GPUs a name of their own"
            raise tables.wrong(("region", index, key), f"{name} is there twice", hint)
        gpus = tables.whole(("region", index, "gpus"))
        pue = tables.number(("region", index, "pue"), low=1.0)
        region = Region(
            name=name,
            zone=zone,
            gpus=gpus,
            pue=1.0 if pue is None else pue,
            held=together(maintenance(tables, index, gpus), gpus),
            gpu_type=tables.text(("region", index, "gpu_type"), "H100") if "gpu_type" in table else "",
            speed=_above_zero(tables, index, "speed"),
            power_ratio=_above_zero(tables, index, "power_ratio"),
        )
        found.append(region)
    return found


def _above_zero(tables: Tables, index: int, key: str) -> float:
    """A factor beside the GPU that the jobs were measured on; 1 where none is given."""
    number = tables.number(("region", index, key), low=0.0)
    if number == 0:
        raise tables.wrong(("region", index, key), f"{key} = 0", "write a number above 0, such as 2.2")
    return 1.0 if number is None else number


def _power_caps_w(tables: Tables) -> dict[str, float]:
    caps_kw = {
        str(table.get("name", table["zone"])): tables.number(("region", index, "power_cap_kw"), low=0.0)
        for index, table in enumerate(tables.regions)
    }
    return {name: 1000.0 * cap_kw for name, cap_kw in caps_kw.items() if cap_kw is not None}


def _sites(tables: Tables, regions: list[Region]) -> dict[str, Site]:
    prices = _prices(tables, regions)
    return {region.name: _site(tables, index, prices.get(region.name)) for index, region in enumerate(regions)}


def _site(tables: Tables, index: int, price: PriceSeries | None) -> Site:
    from scheduler.planning.whole_fleet.objective import Site

    def number(key: str, low: float = 0.0) -> float | None:
        return tables.number(("region", index, key), low=low)

    constant_usd_per_kwh = number("price_usd_per_kwh", -math.inf)
    lifetime_years = number("lifetime_years")
    lifetime_years = _DEFAULT_LIFETIME_YEARS if lifetime_years is None else lifetime_years
    if not lifetime_years > 0:
        raise tables.wrong(("region", index, "lifetime_years"), "lifetime_years = 0", "write a number above 0")
    return Site(
        usd_per_kwh=price if constant_usd_per_kwh is None else constant_usd_per_kwh,
        usd_per_gpu_h=number("gpu_hour_usd") or 0.0,
        gco2e_per_gpu_h=1000.0 * (number("embodied_kgco2e_per_gpu") or 0.0) / (lifetime_years * _H_PER_YEAR),
        wue_l_per_kwh=number("wue_l_per_kwh"),
        source_l_per_kwh=number("source_l_per_kwh") or 0.0,
    )


def _prices(tables: Tables, regions: list[Region]) -> dict[str, PriceSeries]:
    """The recorded prices of each region that has no constant one, by its name; one that the file lacks is absent."""
    from intensity_feeds.price_trace import read_prices
    from intensity_feeds.trace_rows import TraceError

    if "price" not in tables.values:
        return {}
    zones = {
        region.name: tables.text(("region", index, "price_zone"), "DE") if "price_zone" in table else region.zone
        for index, (region, table) in enumerate(zip(regions, tables.regions, strict=True))
    }
    try:
        found = read_prices(tables.file(("price", "trace")), frozenset(zones.values()))
    except TraceError as problem:
        raise UsageProblem(str(problem)) from None
    for index, region in enumerate(regions):
        if "price_zone" in tables.regions[index] and zones[region.name] not in found:
            raise tables.wrong(("region", index, "price_zone"), f"the prices have no zone {zones[region.name]}")
    return {name: found[zone] for name, zone in zones.items() if zone in found}


def _link(tables: Tables) -> Link | None:
    from scheduler.planning.whole_fleet.rules.transfers import Link

    if "transfer" not in tables.values:
        return None
    gb_per_s, wh_per_gb, usd_per_gb = (
        tables.number(("transfer", key), low=0.0) for key in ("gb_per_s", "wh_per_gb", "usd_per_gb")
    )
    if not gb_per_s:
        raise tables.wrong(("transfer", "gb_per_s"), "[transfer] needs gb_per_s above 0", "write gb_per_s = 0.5")
    return Link(gb_per_s=gb_per_s, kwh_per_gb=(wh_per_gb or 0.0) / 1000.0, usd_per_gb=usd_per_gb or 0.0)


def _pools(tables: Tables, regions: list[Region], objective: Objective) -> tuple[Pool, ...]:
    found = pools(tables, regions)
    if found and objective.limit is not None:
        hint = "weigh grams or dollars instead, or plan the pools in a file of their own"
        raise tables.wrong(("pool", 0), "pools are in no limit of [objective]", hint)
    return found


# -- the objective ---------------------------------------------------------------------------------------------------


def _objective(tables: Tables) -> Objective:
    from scheduler.planning.whole_fleet.objective import Limited, Objective

    weights, limit = _weights(tables), _limit(tables)
    if limit is not None and weights.counts_only(limit.what):
        key = _limit_keys()[limit.what]
        hint = "weigh something else, such as usd = 1" if limit.what is Limited.GCO2E else "weigh something else"
        raise tables.wrong(("objective", key), f"{key} limits the only thing that is minimised", hint)
    return Objective(weights=weights, limit=limit)


def _weights(tables: Tables) -> Weights:
    from scheduler.planning.whole_fleet.objective import GRAMS, Weights

    keys = ("gco2e", "usd", "water_l", "waiting_kwh_h", "carbon_usd_per_t")
    gco2e, usd, water_l, waiting_kwh_h, usd_per_t = (tables.number(("objective", key), low=0.0) for key in keys)
    if usd_per_t is not None:
        if gco2e is not None or usd is not None:
            where = ("objective", "carbon_usd_per_t")
            raise tables.wrong(where, "carbon_usd_per_t weighs grams and dollars itself", "leave out gco2e and usd")
        gco2e, usd = usd_per_t / 1e6, 1.0
    given = {"per_gco2e": gco2e, "per_usd": usd, "per_l": water_l, "per_waiting_kwh_h": waiting_kwh_h}
    if all(one is None for one in given.values()):
        return GRAMS
    try:
        return Weights(**{name: one or 0.0 for name, one in given.items()})
    except ValueError as problem:
        raise tables.wrong(("objective",), str(problem), "write, for instance, gco2e = 1") from None


def _limit(tables: Tables) -> Limit | None:
    from scheduler.planning.whole_fleet.objective import Limit, Limited

    found = {what: tables.number(("objective", key), low=-math.inf) for what, key in _limit_keys().items()}
    given = {what: value for what, value in found.items() if value is not None}
    if len(given) > 1:
        raise tables.wrong(("objective", "at_most_usd"), "two limits at once", "keep one, and weigh the other")
    for what, value in given.items():
        return Limit(what=what, most_cost=1000.0 * value if what is Limited.GCO2E else value)
    return None


def _limit_keys() -> dict[Limited, str]:
    from scheduler.planning.whole_fleet.objective import Limited

    return {Limited.GCO2E: "at_most_kgco2e", Limited.USD: "at_most_usd"}


def _refuse_unknown_costs(
    tables: Tables,
    regions: list[Region],
    sites: Mapping[str, Site],
    objective: Objective,
    found_budgets: Sequence[Budget],
) -> None:
    """What counts must be known of every region: a missing price is no price of 0."""
    from scheduler.planning.whole_fleet.objective import Limited
    from scheduler.planning.whole_fleet.rules.budgets import Spent

    limited = {None if objective.limit is None else objective.limit.what, *(one.what for one in found_budgets)}
    counts_usd = objective.weights.per_usd > 0 or bool(limited & {Limited.USD, Spent.USD})
    for index, region in enumerate(regions):
        site = sites[region.name]
        if counts_usd and site.usd_per_kwh is None:
            hint = "give price_usd_per_kwh, or [price] trace and, where its name differs, price_zone"
            raise tables.wrong(("region", index), f"dollars count and {region.name} has no price", hint)
        if objective.weights.per_l > 0 and site.wue_l_per_kwh is None:
            hint = "give wue_l_per_kwh; slacktide regions lists it for cloud regions"
            raise tables.wrong(("region", index), f"water counts and {region.name} has no wue_l_per_kwh", hint)
