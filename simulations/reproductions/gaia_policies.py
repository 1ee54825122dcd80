"""The published policies of GAIA: when a batch job runs, from its arrival and an exact look at the future.

Source: Hanafy et al., ASPLOS 2024. Decides the pieces of each job on 5-second steps; knows no capacity and no cost.
Intensities are whole micrograms, so that equal sums are equal and ties go to the earliest, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from simulations.policies.rules import (
    Run,
    cleanest_runs,
    gate_of,
    lowest,
    most_saved_for_time,
    runs_below,
)

Whole = NDArray[np.int64]

STEP_S = 5
STEPS_PER_HOUR = 720
SHORT_BELOW = 2 * STEPS_PER_HOUR
SHORT_WAIT, LONG_WAIT = 6 * STEPS_PER_HOUR, 24 * STEPS_PER_HOUR
THRESHOLD_SPAN = 24 * STEPS_PER_HOUR

_MICROGRAMS = 1e6


class Piece(NamedTuple):
    """A contiguous run of a job: steps start ... end - 1."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """What a policy sees: all in steps. `expected` stands for the length where a policy may not know it."""

    arrival: int
    length: int
    max_wait: int
    expected: int


class BeyondTheSeriesError(ValueError):
    """A job or a look-ahead that reaches past the last known hour."""


class Grid:
    """Hourly intensity as exact prefix sums over steps: `before[k]` is the sum of steps 0 ... k - 1, in micrograms."""

    def __init__(self, hourly_gco2e_per_kwh: Floats) -> None:
        self.hourly = np.rint(hourly_gco2e_per_kwh * _MICROGRAMS).astype(np.int64)
        self.steps = np.repeat(self.hourly, STEPS_PER_HOUR)
        self.before = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(self.steps)))

    def between(self, start: int, end: int) -> Whole:
        """Intensity of the steps start ... end - 1. Raises BeyondTheSeriesError."""
        self._refuse_beyond(end)
        return self.steps[start:end]

    def cells(self, start: int, end: int) -> tuple[Whole, Whole]:
        """The hours that touch the steps start ... end - 1: their edges, cut there, and intensities."""
        self._refuse_beyond(end)
        first, last = start // STEPS_PER_HOUR, -(-end // STEPS_PER_HOUR)
        edges = np.clip(STEPS_PER_HOUR * np.arange(first, last + 1), start, end)
        return edges, self.hourly[first:last]

    def sums(self, starts: Whole, length: int) -> Whole:
        """Sums over `length` steps from each start. Raises BeyondTheSeriesError."""
        self._refuse_beyond(int(starts.max()) + length)
        return self.before[starts + length] - self.before[starts]

    def kwh_gco2e(self, pieces: Sequence[Piece]) -> float:
        """Grams that one kilowatt emits over the pieces. Raises BeyondTheSeriesError."""
        self._refuse_beyond(max(piece.end for piece in pieces))
        total = sum(int(self.before[piece.end] - self.before[piece.start]) for piece in pieces)
        return total / _MICROGRAMS / STEPS_PER_HOUR

    def _refuse_beyond(self, end: int) -> None:
        if end > len(self.steps):
            raise BeyondTheSeriesError(f"hour {end / STEPS_PER_HOUR:.1f} is needed, the series has {len(self.hourly)}")


StartPolicy = Callable[[BatchJob, Grid], list[Piece]]


def no_wait(job: BatchJob, _: Grid) -> list[Piece]:
    return _whole(job, job.arrival)


def all_wait(job: BatchJob, _: Grid) -> list[Piece]:
    """As late as the queue allows."""
    return _whole(job, job.arrival + job.max_wait)


def lowest_slot(job: BatchJob, grid: Grid) -> list[Piece]:
    """At the step of lowest intensity, whatever follows it."""
    ahead = grid.between(job.arrival, job.arrival + job.max_wait + 1)
    return _whole(job, job.arrival + lowest(ahead))


def lowest_window(job: BatchJob, grid: Grid) -> list[Piece]:
    """At the whole hour after arrival with the lowest sum over the expected length."""
    starts = _hourly_starts(job)
    return _whole(job, int(starts[lowest(grid.sums(starts, job.expected))]))


def carbon_time(job: BatchJob, grid: Grid) -> list[Piece]:
    """At the whole hour after arrival that saves most per unit of time until the expected end."""
    starts = _hourly_starts(job)
    best = most_saved_for_time(grid.sums(starts, job.expected), starts - job.arrival, job.expected)
    return _whole(job, int(starts[best]))


def ecovisor(job: BatchJob, grid: Grid) -> list[Piece]:
    """Runs while the intensity is below a percentile of the next day, and always once the waiting is used up."""
    day_edges, day = grid.cells(job.arrival, job.arrival + THRESHOLD_SPAN)
    gate = gate_of(day, np.diff(day_edges))
    edges, intensity = grid.cells(job.arrival, job.arrival + job.length + job.max_wait)
    return _pieces(runs_below(edges, intensity, gate, job.length, job.max_wait))


def wait_awhile(job: BatchJob, grid: Grid) -> list[Piece]:
    """Runs in the cleanest steps of all that it may take."""
    edges, intensity = grid.cells(job.arrival, job.arrival + job.length + job.max_wait)
    return _pieces(cleanest_runs(edges, intensity, job.length))


POLICIES: Mapping[str, StartPolicy] = {
    "NoWait": no_wait,
    "AllWait": all_wait,
    "Lowest-Slot": lowest_slot,
    "Lowest-Window": lowest_window,
    "Carbon-Time": carbon_time,
    "Ecovisor": ecovisor,
    "WaitAwhile": wait_awhile,
}


def _pieces(runs: Sequence[Run]) -> list[Piece]:
    return [Piece(int(start), int(end)) for start, end in runs]


def _whole(job: BatchJob, start: int) -> list[Piece]:
    return [Piece(start, start + job.length)]


def _hourly_starts(job: BatchJob) -> Whole:
    return np.arange(job.arrival, job.arrival + job.max_wait + 1, STEPS_PER_HOUR)
