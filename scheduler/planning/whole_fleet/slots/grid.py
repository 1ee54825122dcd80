"""Jobs and costs of a fleet on a grid of equal slots, for searches that look at a job's whole window at once.

A job holds every slot that it touches, so slots only take room away, never give any; what it pays is that of its real
interval. The grid is as fine as a look at every job in every region stays cheap. Knows no plan and no order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import Levels, levels_of
from scheduler.planning.whole_fleet.rates import Rates

Indexes = NDArray[np.intp]
Bools = NDArray[np.bool_]

_J_PER_KWH = 3.6e6

# Divisors of an hour where forecasts are hourly, so that their edges are edges of slots.
_LENGTHS_S = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
_MOST_SLOTS = 10_080
# Regions times slots that one look at every job's window would touch: at about 5 ns each, 0.15 s.
_MOST_CELLS = 30_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """What one watt, one GPU and one watt times PUE pay up to each edge of a slot, each (regions, slots + 1).

    A search chooses by a view: of carbon and charges alone, or with the prices of capacity added. None pays nothing.
    """

    carbon_gco2e_per_w: Floats
    held_gco2e: Floats | None
    power_gco2e_per_w: Floats | None

    @classmethod
    def of(cls, rates: Rates, edges_at_s: Floats) -> View:
        carbon, held, power = (
            np.array([np.interp(edges_at_s, rates.edges_at_s, row) for row in one]) for one in rates.sums
        )
        facility_ratio = np.array([[region.facility_ratio] for region in rates.case.regions])
        return cls(
            carbon_gco2e_per_w=carbon / _J_PER_KWH,
            held_gco2e=held if held.any() else None,
            power_gco2e_per_w=power * facility_ratio if power.any() else None,
        )

    def unit_sums(self, rows: Indexes | slice, first: int, last: int) -> Floats:
        """What one watt pays up to each edge of these slots."""
        carbon = self.carbon_gco2e_per_w[rows, first : last + 1]
        if self.power_gco2e_per_w is None:
            return carbon
        found: Floats = carbon + self.power_gco2e_per_w[rows, first : last + 1]
        return found

    def costs(self, gpus: NDArray[np.int64] | int, power_w: Floats | float, rows: Indexes, slots: Indexes) -> Floats:
        """What so many GPUs and so much power pay in whole slots; all of one shape, or of shapes that go together."""
        paid: Floats = power_w * (self.carbon_gco2e_per_w[rows, slots + 1] - self.carbon_gco2e_per_w[rows, slots])
        if self.held_gco2e is not None:
            paid += gpus * (self.held_gco2e[rows, slots + 1] - self.held_gco2e[rows, slots])
        if self.power_gco2e_per_w is not None:
            paid += power_w * (self.power_gco2e_per_w[rows, slots + 1] - self.power_gco2e_per_w[rows, slots])
        return paid

    def sums(self, ask: Ask, rows: Indexes | slice, first: int, last: int) -> Floats:
        """What the whole job pays up to each edge of these slots."""
        paid = ask.power_w * self.carbon_gco2e_per_w[rows, first : last + 1]
        if self.held_gco2e is not None:
            paid += ask.gpus * self.held_gco2e[rows, first : last + 1]
        if self.power_gco2e_per_w is not None:
            paid += ask.power_w * self.power_gco2e_per_w[rows, first : last + 1]
        return paid


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ask:
    """One job in slots: `length` of them, the first no earlier than `first`, the last before `stop`.

    A run in one piece starts `offset_s` into its first slot: nothing, unless it has less than a slot of slack.
    `used_ratio` of the last slot is run. `rows` are the regions where it may run. Where it runs longer in some of them
    than in others, `variants` hold the regions of each length. One with `levels` may use its slots at any of these, for
    `open_s` of each. `border_steps` tell where in its slots each of its phases begins and the last one ends.
    """

    number: int
    job: Job
    rows: Indexes
    is_anywhere: bool
    first: int
    stop: int
    length: int
    used_ratio: float
    offset_s: float
    pauses: bool
    gpus: int
    power_w: float
    milliwatts: NDArray[np.int64] | None
    variants: tuple[Ask, ...] = ()
    levels: Levels | None = None
    open_s: Floats | None = None
    border_steps: tuple[float, ...] = ()
    powers_w: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is one power on one number of GPUs, for as long wherever it runs."""
        return not self.variants and self.levels is None and not self.border_steps

    @property
    def size_gpu_s(self) -> float:
        return self.gpus * self.job.duration_s

    @property
    def cells(self) -> int:
        """How much one look at all its places touches."""
        looks = 1 if self.levels is None else 4 * len(self.levels.row)
        return len(self.rows) * looks * max(self.stop - self.first, 1)

    def at(self, region: int) -> Ask:
        """As it is in one region."""
        return next((one for one in self.variants if region in one.rows), self) if self.variants else self


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Grid:
    """Equal slots from `start_at_s` on; `is_known` (regions, slots) tells where work can be planned at all."""

    case: FleetCase
    start_at_s: float
    slot_s: float
    edges_at_s: Floats
    is_known: Bools

    @classmethod
    def of(cls, rates: Rates) -> Grid:
        case, slot_s = rates.case, _slot_s(rates.case)
        start_at_s = math.floor(float(rates.edges_at_s[0]) / slot_s) * slot_s
        slots = math.ceil((float(rates.edges_at_s[-1]) - start_at_s) / slot_s - ROUNDING_S)
        edges_at_s = start_at_s + slot_s * np.arange(max(slots, 1) + 1, dtype=np.float64)
        return cls(
            case=case,
            start_at_s=start_at_s,
            slot_s=slot_s,
            edges_at_s=edges_at_s,
            is_known=_is_known(rates, edges_at_s),
        )

    @property
    def slots(self) -> int:
        return len(self.edges_at_s) - 1

    def ask(self, number: int, job: Job, milliwatts: NDArray[np.int64] | None) -> Ask:
        rows = np.array(self.case.allowed(job), dtype=np.intp)
        levels = levels_of(self.case, job)
        if levels is not None and (job.interruption is None or job.interruption.min_run_s <= 0):
            return self._levelled(self._ask(number, job, milliwatts, rows), levels)
        if self.case.has_equal_speeds:
            return self._ask(number, job, milliwatts, rows)
        has_s = job.deadline_at_s - job.earliest_start_at_s + ROUNDING_S
        lasts_s = {row: self.case.lasts_s(job, self.case.regions[row]) for row in rows.tolist()}
        lengths_s = sorted({length_s for length_s in lasts_s.values() if length_s <= has_s})
        alike = [[row for row in rows.tolist() if lasts_s[row] == length_s] for length_s in lengths_s]
        every = tuple(self._ask(number, job, milliwatts, np.array(some, dtype=np.intp)) for some in alike)
        if len(every) < 2:
            return every[0] if every else self._ask(number, job, milliwatts, rows[:0])
        return replace(every[0], rows=np.sort(np.concatenate([one.rows for one in every])), variants=every)

    def _levelled(self, ask: Ask, levels: Levels) -> Ask:
        """With every slot that the job's time touches, as far as it does."""
        job = ask.job
        first = max(math.floor((job.earliest_start_at_s - self.start_at_s) / self.slot_s + ROUNDING_S / self.slot_s), 0)
        stop = min(math.ceil((job.deadline_at_s - self.start_at_s - ROUNDING_S) / self.slot_s), self.slots)
        edges = self.edges_at_s[first : stop + 1]
        open_s = np.minimum(edges[1:], job.deadline_at_s) - np.maximum(edges[:-1], job.earliest_start_at_s)
        return replace(ask, first=first, stop=stop, pauses=True, levels=levels, open_s=open_s)

    def _ask(self, number: int, job: Job, milliwatts: NDArray[np.int64] | None, rows: Indexes) -> Ask:
        slot_s, tiny = self.slot_s, ROUNDING_S / self.slot_s
        earliest = (job.earliest_start_at_s - self.start_at_s) / slot_s
        deadline = (job.deadline_at_s - self.start_at_s) / slot_s
        lasts = (self.case.lasts_s(job, self.case.regions[rows[0]]) if len(rows) else job.duration_s) / slot_s
        first, stop, length = math.ceil(earliest - tiny), math.floor(deadline + tiny), math.ceil(lasts - tiny)
        fits_aligned = math.floor(deadline - lasts + tiny) >= first
        begins = 0.0 if fits_aligned else earliest - math.floor(earliest)
        if not fits_aligned:
            first, length = math.floor(earliest), math.ceil(begins + lasts - tiny)
        # Slots know no least run: such a job takes one window here, and pieces when the plan is polished.
        may_pause = job.interruption is not None and job.interruption.min_run_s <= 0
        pauses = may_pause and fits_aligned and stop - first >= length
        if not pauses:
            stop = max(math.floor(deadline - lasts + tiny), first) + length
        return Ask(
            number=number,
            job=job,
            rows=rows,
            is_anywhere=len(rows) == len(self.case.regions),
            first=first,
            stop=min(stop, self.slots),
            length=length,
            used_ratio=begins + lasts - (length - 1),
            offset_s=begins * slot_s,
            border_steps=tuple(begins + lasts * ratio for ratio in self._border_ratios(job)),
            powers_w=tuple(phase.power_w for phase in self.case.phases.get(job.id, ())),
            pauses=pauses,
            gpus=job.gpus,
            power_w=job.power_w,
            milliwatts=milliwatts,
        )

    def _border_ratios(self, job: Job) -> list[float]:
        """Where the phases of a job begin and end, as shares of its run; none for a job without phases."""
        phases = self.case.phases.get(job.id, ())
        return (
            [behind_s / job.duration_s for behind_s in accumulate((one.duration_s for one in phases), initial=0.0)]
            if phases
            else []
        )


def _slot_s(case: FleetCase) -> float:
    from_s = min(job.earliest_start_at_s for job in case.jobs)
    to_s = max(job.deadline_at_s for job in case.jobs)
    looked_s = len(case.regions) * sum(job.deadline_at_s - job.earliest_start_at_s for job in case.jobs)
    least_s = max((to_s - from_s) / _MOST_SLOTS, looked_s / _MOST_CELLS)
    return next((one for one in _LENGTHS_S if one >= least_s), _LENGTHS_S[-1])


def _is_known(rates: Rates, edges_at_s: Floats) -> Bools:
    known = np.zeros((len(rates.known), len(edges_at_s) - 1), dtype=np.bool_)
    # A slot that begins before the first instant or ends after the last one loses nothing: nobody runs there.
    begins_s = np.maximum(edges_at_s[:-1], rates.edges_at_s[0])
    ends_s = np.minimum(edges_at_s[1:], rates.edges_at_s[-1])
    for index, stretches in enumerate(rates.known):
        for from_s, to_s in stretches:
            known[index] |= (begins_s >= from_s - ROUNDING_S) & (ends_s <= to_s + ROUNDING_S)
    return known
