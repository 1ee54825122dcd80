"""Limits of temporal and spatial shifting: what a year of exact knowledge could save, zone by zone.

Source: Sukprasert et al., EuroSys 2024. Everything counts whole hours of one year of one kilowatt, as the original
does: windows are cut at the year's end. Decides the best hours of each arrival; knows no capacity, no latency.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.tables import (
    CellError,
    Pack,
    PublishedTable,
    Reproduction,
    Row,
    Value,
    whole,
)

# The means over all zones were published for this slack; their table has no column for it.
SLACK_OF_THE_MEANS_H = 24
ONE_YEAR = frozenset({"one_year", "one year", "year"})

# Up to here all windows at once are sorted faster than one window after the other is kept sorted.
_AT_ONCE_HOURS = 150


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


def shift(hourly_gco2e_per_kwh: Floats, slack_h: int, job_h: int, *, drops_last_arrival: bool) -> Shifting:
    """Every arrival of a year. `drops_last_arrival` is the quirk of the original: the last arrival that still fits."""
    hours = len(hourly_gco2e_per_kwh)
    arrivals = hours - job_h + (0 if drops_last_arrival else 1)
    sums = np.concatenate(([0.0], np.cumsum(hourly_gco2e_per_kwh)))
    windows_g = sums[job_h:] - sums[:-job_h]
    return Shifting(
        job_h=job_h,
        baseline_g=windows_g[:arrivals],
        deferred_g=lowest_ahead(windows_g, slack_h + 1)[:arrivals],
        interrupted_g=smallest_sums(hourly_gco2e_per_kwh, slack_h + job_h, job_h)[:arrivals],
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


def smallest_sums(array: Floats, reach: int, count: int) -> Floats:
    """The sum of the `count` smallest of each window of `reach`, cut at the end; one for each that holds `count`."""
    reach = min(reach, len(array))
    return _sums_at_once(array, reach, count) if reach <= _AT_ONCE_HOURS else _sums_in_turn(array, reach, count)


def _sums_at_once(array: Floats, reach: int, count: int) -> Floats:
    padded = np.concatenate((array, np.full(reach, np.inf)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach)[: len(array) - count + 1]
    return np.asarray(np.partition(windows, count - 1, axis=1)[:, :count].sum(axis=1))


def _sums_in_turn(array: Floats, reach: int, count: int) -> Floats:
    """From the last start to the first: one value comes in, one goes out, the smallest stay summed."""
    values = array.tolist()
    window = sorted(values[len(values) - count :])
    total = sum(window)
    sums = [total]
    for start in range(len(values) - count - 1, -1, -1):
        new = values[start]
        if new < window[count - 1]:
            total += new - window[count - 1]
        insort(window, new)
        if start + reach < len(values):
            gone = bisect_left(window, values[start + reach])
            if gone < count:
                total += window[count] - window[gone]
            del window[gone]
        sums.append(total)
    return np.array(sums[::-1])


# -- the tables --------------------------------------------------------------------------------------------------------


def _zone_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_zone_cell(pack.intensity_of(row["zone"]), row["slack_hours"], row) for row in cells]


def _zone_cell(hourly_gco2e_per_kwh: Floats, slack: str, row: Row) -> dict[str, Value]:
    hours = len(hourly_gco2e_per_kwh)
    slack_h = hours if slack in ONE_YEAR else whole({"slack_hours": slack}, "slack_hours")
    job_h = whole(row, "job_hours", least=1)
    if job_h >= hours:
        raise CellError(f"a job of {job_h} h does not fit a series of {hours} h", "job_hours")
    # The original leaves the last arrival out, except where the slack is the whole year.
    return shift(hourly_gco2e_per_kwh, slack_h, job_h, drops_last_arrival=slack_h < hours).answer()


def _mean_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_mean_cell(pack, row) for row in cells]


def _mean_cell(pack: Pack, row: Row) -> dict[str, Value]:
    slack = row.get("slack_hours") or str(SLACK_OF_THE_MEANS_H)
    answers = [_zone_cell(hourly, slack, row) for hourly in pack.intensity_gco2e_per_kwh.values()]
    zones = f"{len(answers)}zones"
    found: dict[str, Value] = {}
    for name, quantity in (
        ("defer_saving", "defer_saving_g_per_kwh"),
        ("interrupt_extra", "interrupt_extra_g_per_kwh"),
    ):
        mean = float(np.mean([answer[quantity] for answer in answers]))
        # A mean over other zones than the folder holds is not known here, so it is not answered.
        found |= {f"{name}_{zones}": mean, f"{name}_{zones}_published": mean}
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
