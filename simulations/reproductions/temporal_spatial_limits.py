"""Limits of temporal and spatial shifting: what a year of exact knowledge could save, zone by zone.

Source: Sukprasert et al., EuroSys 2024. Everything counts whole hours of one year of one kilowatt, as the original
does: windows are cut at the year's end. Decides the best hours of each arrival; knows no capacity, no latency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from simulations.reproductions.tables import (
    CellError,
    Pack,
    PublishedTable,
    Reproduction,
    Row,
    Value,
    plain,
    whole,
)

Whole = NDArray[np.int64]

# The means over all zones were published for this slack; their table has no column for it.
SLACK_OF_THE_MEANS_H = 24
ONE_YEAR = frozenset({"one_year", "one year", "year"})

# The published mean of a slack of 24 h and jobs of 168 h lacks this zone, whose output is empty in the original.
EMPTY_OUTPUTS: Mapping[tuple[Value, Value], frozenset[str]] = {(24, 168): frozenset({"SE-SE1"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifting:
    """Sums of a job's hours at each arrival, each of shape (arrivals,): at once, postponed, and in pieces."""

    job_h: int
    baseline_g: Floats
    deferred_g: Floats
    interrupted_g: Floats

    def answer(self) -> dict[str, Value]:
        """Means per job hour, by the published names."""
        return {
            "arrivals": len(self.baseline_g),
            "baseline_g_per_kwh": float(self.baseline_g.mean()) / self.job_h,
            "defer_saving_g_per_kwh": float((self.baseline_g - self.deferred_g).mean()) / self.job_h,
            "interrupt_extra_g_per_kwh": float((self.deferred_g - self.interrupted_g).mean()) / self.job_h,
        }


class Year:
    """The hours of one zone, prepared once for any slack and job length."""

    def __init__(self, hourly_gco2e_per_kwh: Floats) -> None:
        self.hours = len(hourly_gco2e_per_kwh)
        self._sums = _prefix_sums(hourly_gco2e_per_kwh)
        self._smallest = SmallestSums(hourly_gco2e_per_kwh)

    def shift(self, slack_h: int, job_h: int, *, drops_last_arrival: bool) -> Shifting:
        """Every arrival. `drops_last_arrival` is the quirk of the original: the last arrival that still fits."""
        starts = np.arange(self.hours - job_h + (0 if drops_last_arrival else 1))
        windows_g = self._sums[job_h:] - self._sums[:-job_h]
        return Shifting(
            job_h=job_h,
            baseline_g=windows_g[starts],
            deferred_g=lowest_ahead(windows_g, slack_h + 1)[starts],
            interrupted_g=self._smallest.of(starts, np.minimum(starts + slack_h + job_h, self.hours), job_h),
        )


def lowest_ahead(array: Floats, reach: int) -> Floats:
    """The least of each value and the `reach - 1` after it, as far as there are any. Shape as `array`.

    Spans double: two overlapping spans of a power of two cover any reach.
    """
    reach = min(reach, len(array))
    lowest, span = array.copy(), 1
    while span < reach:
        shift_by = min(span, reach - span)
        lowest[:-shift_by] = np.minimum(lowest[:-shift_by], lowest[shift_by:])
        span += shift_by
    return lowest


class SmallestSums:
    """Sums of the smallest values of any windows of one array, all windows at once.

    A wavelet matrix over the values' ranks: each level parts the array by one bit of the rank, low ones first, and
    keeps how many low ones came before each place and what they sum to.
    """

    def __init__(self, array: Floats) -> None:
        ranks = np.empty(len(array), dtype=np.int64)
        ranks[np.argsort(array, kind="stable")] = np.arange(len(array))
        self._levels: list[tuple[Whole, Floats]] = []
        for bit in reversed(range(max(1, (len(array) - 1).bit_length()))):
            is_low = (ranks >> bit) & 1 == 0
            self._levels.append((np.concatenate(([0], np.cumsum(is_low))), _prefix_sums(np.where(is_low, array, 0.0))))
            order = np.argsort(~is_low, kind="stable")
            ranks, array = ranks[order], array[order]
        self._leaves = _prefix_sums(array)

    def of(self, starts: Whole, ends: Whole, count: int) -> Floats:
        """The sum of the `count` smallest values of each window [start, end), which holds at least as many."""
        totals, missing = np.zeros(len(starts)), np.full(len(starts), count)
        for low_before, sums in self._levels:
            low_starts, low_ends = low_before[starts], low_before[ends]
            low = low_ends - low_starts
            takes_all_low = missing > low
            totals += np.where(takes_all_low, sums[ends] - sums[starts], 0.0)
            missing = np.where(takes_all_low, missing - low, missing)
            starts = np.where(takes_all_low, low_before[-1] + starts - low_starts, low_starts)
            ends = np.where(takes_all_low, low_before[-1] + ends - low_ends, low_ends)
        return np.asarray(totals + self._leaves[starts + missing] - self._leaves[starts])


def _prefix_sums(array: Floats) -> Floats:
    return np.concatenate((np.zeros(1), np.cumsum(array)))


# -- the tables --------------------------------------------------------------------------------------------------------


def _zone_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    years = {zone: Year(pack.intensity_of(zone)) for zone in dict.fromkeys(row["zone"] for row in cells)}
    return [_zone_cell(years[row["zone"]], row["slack_hours"], row) for row in cells]


def _zone_cell(year: Year, slack: str, row: Row) -> dict[str, Value]:
    slack_h = year.hours if slack in ONE_YEAR else whole({"slack_hours": slack}, "slack_hours")
    job_h = whole(row, "job_hours", least=1)
    if job_h >= year.hours:
        raise CellError(f"a job of {job_h} h does not fit a series of {year.hours} h", "job_hours")
    # The original leaves the last arrival out, except where the slack is the whole year.
    return year.shift(slack_h, job_h, drops_last_arrival=slack_h < year.hours).answer()


def _mean_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    years = {zone: Year(hourly) for zone, hourly in pack.intensity_gco2e_per_kwh.items()}
    return [_mean_cell(years, row) for row in cells]


def _mean_cell(years: Mapping[str, Year], row: Row) -> dict[str, Value]:
    slack = row.get("slack_hours") or str(SLACK_OF_THE_MEANS_H)
    answers = {zone: _zone_cell(year, slack, row) for zone, year in years.items()}
    empty = EMPTY_OUTPUTS.get((plain(slack), plain(row["job_hours"])), frozenset())
    as_published = [answer for zone, answer in answers.items() if zone not in empty]
    found: dict[str, Value] = {}
    for name, quantity in (
        ("defer_saving", "defer_saving_g_per_kwh"),
        ("interrupt_extra", "interrupt_extra_g_per_kwh"),
    ):
        # A mean over other zones than the folder holds is not known here, so it is not answered.
        for ending, kept in (("", list(answers.values())), ("_published", as_published)):
            found[f"{name}_{len(answers)}zones{ending}"] = float(np.mean([answer[quantity] for answer in kept]))
    return found


def one_migration(zones_gco2e_per_kwh: Mapping[str, Floats]) -> tuple[str, float]:
    """The zone with the lowest annual mean, and the mean saving of moving all load of every zone there."""
    means = {zone: float(hourly.mean()) for zone, hourly in zones_gco2e_per_kwh.items()}
    destination = min(means, key=means.__getitem__)
    return destination, float(np.mean(list(means.values()))) - means[destination]


def infinite_migration_saving_gco2e_per_kwh(zones_gco2e_per_kwh: Mapping[str, Floats]) -> float:
    """The mean saving of every zone's load running, each hour, where it is cleanest."""
    hours = np.array(list(zones_gco2e_per_kwh.values()))
    return float((hours - hours.min(axis=0)).mean())


def _group_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_group_cell(pack, row["group"]) for row in cells]


def _group_cell(pack: Pack, group: str) -> dict[str, Value]:
    zones = _zones_of(pack, group)
    destination, saving = one_migration(zones)
    return {
        "destination": destination,
        "one_migration_saving_g_per_kwh": saving,
        "infinite_migration_saving_g_per_kwh": infinite_migration_saving_gco2e_per_kwh(zones),
    }


def _zones_of(pack: Pack, group: str) -> Mapping[str, Floats]:
    """A continent of zones.csv; a group called all... is every zone of the folder."""
    known = pack.intensity_gco2e_per_kwh
    if group.startswith("all"):
        return known
    members = [row["zone"] for row in pack.table("zones") if row["continent"] == group and row["zone"] in known]
    if not members:
        raise CellError(f"zones.csv puts no zone of the folder in {group!r}", "group")
    return {zone: known[zone] for zone in members}


_GRAMS = "0.001"
REPRODUCTION = Reproduction(
    name="temporal_spatial_limits",
    study="Limits of temporal and spatial shifting (EuroSys 2024): a year of exact knowledge",
    tables=(
        PublishedTable(
            expected="expected_zone_slack24",
            keys=("zone", "slack_hours", "job_hours"),
            answer=_zone_cells,
            tolerances={
                "baseline_g_per_kwh": _GRAMS,
                "defer_saving_g_per_kwh": _GRAMS,
                "interrupt_extra_g_per_kwh": _GRAMS,
            },
        ),
        PublishedTable(
            expected="expected_mean_slack24",
            keys=("job_hours",),
            answer=_mean_cells,
            tolerances={"defer_saving_60zones": _GRAMS, "interrupt_extra_60zones": _GRAMS},
            parameters=("slack_hours",),
        ),
        PublishedTable(
            expected="expected_migration_60zones",
            keys=("group",),
            answer=_group_cells,
            tolerances={"one_migration_saving_g_per_kwh": _GRAMS, "infinite_migration_saving_g_per_kwh": _GRAMS},
        ),
    ),
)
