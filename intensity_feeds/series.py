"""The grid's intensity as an exact step function of time.

Decides what an integral, a mean and a cheapest window are. Knows no provider, no clock and no default: what was not
measured is NaN inside the series, and asking for it raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# One missing point is common in every feed and harmless; two in a row are not known to be.
CARRIED_STEPS = 2.0


class Signal(StrEnum):
    """Which question the number answers. The two are never mixed in one sum."""

    AVERAGE = "average"
    MARGINAL = "marginal"


class Basis(StrEnum):
    """Which emission factors stand behind the number."""

    LIFECYCLE = "lifecycle"
    DIRECT = "direct"


class Quality(StrEnum):
    """How the numbers were obtained, from best to worst."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    FORECAST = "forecast"
    SYNTHETIC = "synthetic"
    YEARLY_AVERAGE = "yearly_average"


class SeriesError(ValueError):
    """A question that the series cannot answer truthfully."""


class MalformedSeriesError(SeriesError):
    """Edges that do not grow, or shapes that do not fit."""


class OutsideRangeError(SeriesError):
    """An instant before the first edge or after the last."""

    def __init__(self, zone: str, asked_from_s: float, asked_to_s: float, start_at_s: float, end_at_s: float) -> None:
        self.zone, self.asked_from_s, self.asked_to_s = zone, asked_from_s, asked_to_s
        self.start_at_s, self.end_at_s = start_at_s, end_at_s
        super().__init__(
            f"intensity of {zone} is known from {start_at_s:.0f} to {end_at_s:.0f} (UTC epoch seconds), "
            f"asked from {asked_from_s:.0f} to {asked_to_s:.0f}"
        )


class MissingIntensityError(SeriesError):
    """An interval that contains a gap: missing data is never a number."""

    def __init__(self, zone: str, start_at_s: float, end_at_s: float) -> None:
        self.zone, self.start_at_s, self.end_at_s = zone, start_at_s, end_at_s
        super().__init__(f"intensity of {zone} has a gap between {start_at_s:.0f} and {end_at_s:.0f}")


class MixedSignalsError(SeriesError):
    """Average beside marginal, or life-cycle beside direct."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntensitySeries:
    """Intensity of one zone: value i holds on the half-open interval [edges_at_s[i], edges_at_s[i + 1]).

    `edges_at_s` has shape (n + 1,) in UTC epoch seconds and grows strictly; steps may differ in length.
    `gco2e_per_kwh` has shape (n,); NaN marks a gap. Raises MalformedSeriesError otherwise.
    """

    zone: str
    edges_at_s: Floats
    gco2e_per_kwh: Floats
    signal: Signal = Signal.AVERAGE
    basis: Basis = Basis.LIFECYCLE
    quality: Quality = Quality.MEASURED
    issued_at_s: float | None = None
    source: str = ""
    # Prefix sums at the edges, shape (n + 1,): grams per kW of constant load, and seconds of gap.
    _integral_g_s_per_kwh: Floats = field(init=False, repr=False)
    _gap_s: Floats = field(init=False, repr=False)
    has_gap: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        edges = np.ascontiguousarray(self.edges_at_s, dtype=np.float64)
        values = np.ascontiguousarray(self.gco2e_per_kwh, dtype=np.float64)
        _refuse_malformed(self.zone, edges, values)
        steps_s = np.diff(edges)
        missing = np.isnan(values)
        object.__setattr__(self, "edges_at_s", _frozen(edges))
        object.__setattr__(self, "gco2e_per_kwh", _frozen(values))
        object.__setattr__(self, "_integral_g_s_per_kwh", _prefix_sums(np.where(missing, 0.0, values) * steps_s))
        object.__setattr__(self, "_gap_s", _prefix_sums(np.where(missing, steps_s, 0.0)))
        object.__setattr__(self, "has_gap", bool(missing.any()))

    # -- making one -------------------------------------------------------------------------------------------------

    @classmethod
    def regular(cls, zone: str, start_at_s: float, step_s: float, values: ArrayLike, **labels: object) -> Self:
        """Equal steps of `step_s` from `start_at_s`; `labels` are the remaining fields."""
        array = np.asarray(values, dtype=np.float64)
        edges = start_at_s + step_s * np.arange(len(array) + 1, dtype=np.float64)
        return cls(zone=zone, edges_at_s=edges, gco2e_per_kwh=array, **labels)  # type: ignore[arg-type]

    @classmethod
    def flat(cls, zone: str, start_at_s: float, end_at_s: float, gco2e_per_kwh: float, **labels: object) -> Self:
        """One value from `start_at_s` to `end_at_s`."""
        return cls.regular(zone, start_at_s, end_at_s - start_at_s, [gco2e_per_kwh], **labels)

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def start_at_s(self) -> float:
        return self.edges_at_s.item(0)

    @property
    def end_at_s(self) -> float:
        return self.edges_at_s.item(-1)

    @property
    def cumulative_g_s_per_kwh(self) -> Floats:
        """The integral from the first edge to each edge, shape (n + 1,); a gap adds nothing, so look for gaps first."""
        return self._integral_g_s_per_kwh

    def covers(self, start_at_s: float, end_at_s: float) -> bool:
        """Whether every instant of the interval has a number."""
        if not self.start_at_s <= start_at_s <= end_at_s <= self.end_at_s:
            return False
        return not (self.has_gap and self._gap_between_s(start_at_s, end_at_s) > 0)

    def at(self, instant_s: float) -> float:
        """Intensity at one instant. Raises OutsideRangeError, MissingIntensityError."""
        if not self.start_at_s <= instant_s < self.end_at_s:
            raise OutsideRangeError(self.zone, instant_s, instant_s, self.start_at_s, self.end_at_s)
        value = float(self.gco2e_per_kwh[np.searchsorted(self.edges_at_s, instant_s, side="right") - 1])
        if np.isnan(value):
            raise MissingIntensityError(self.zone, instant_s, instant_s)
        return value

    def integral_g_s_per_kwh(self, start_at_s: float, end_at_s: float) -> float:
        """Exact integral over the interval; times kW, over 3600, it is grams. Raises as `at` does."""
        self._refuse_unknown(start_at_s, end_at_s)
        before, after = self._cumulative(np.array([start_at_s, end_at_s]))
        return float(after - before)

    def known_integral_g_s_per_kwh(self, start_at_s: float, end_at_s: float) -> float | None:
        """The same, None where it raises: for who asks often of what is often not known."""
        if not self.covers(start_at_s, end_at_s):
            return None
        before, after = self._cumulative(np.array([start_at_s, end_at_s]))
        return float(after - before)

    def mean_gco2e_per_kwh(self, start_at_s: float, end_at_s: float) -> float:
        """Time-weighted mean over the interval; the value itself where the interval is one instant."""
        if start_at_s == end_at_s:
            return self.at(start_at_s)
        self._refuse_unknown(start_at_s, end_at_s)
        place = self.edges_at_s.searchsorted(start_at_s, side="right") - 1
        if end_at_s <= self.edges_at_s[place + 1]:  # as nearly always for a request, whose grams are asked for twice
            return float(self.gco2e_per_kwh[place])
        return self.integral_g_s_per_kwh(start_at_s, end_at_s) / (end_at_s - start_at_s)

    def emissions_gco2e(self, power_w: float, start_at_s: float, end_at_s: float) -> float:
        """Operational emissions of a constant load, location-based, before PUE.

        Source: GHG Protocol Scope 2 Guidance (2015), ch. 6.
        """
        return power_w / 1000.0 * self.integral_g_s_per_kwh(start_at_s, end_at_s) / 3600.0

    def window_integrals_g_s_per_kwh(self, starts_at_s: Floats, duration_s: float) -> Floats:
        """The integral of every window [start, start + duration), shape as `starts_at_s`; NaN over a gap or outside."""
        ends = starts_at_s + duration_s
        integrals = self._cumulative(ends) - self._cumulative(starts_at_s)
        known = (starts_at_s >= self.start_at_s) & (ends <= self.end_at_s)
        if self.has_gap:
            gap = np.interp(ends, self.edges_at_s, self._gap_s) - np.interp(starts_at_s, self.edges_at_s, self._gap_s)
            known &= gap <= 0
        if not known.all():
            integrals[~known] = np.nan
        return integrals

    def candidate_starts_at_s(self, duration_s: float, earliest_s: float, latest_s: float) -> Floats:
        """The only starts worth looking at, growing: the window's integral is piecewise linear in its start, with
        kinks where either end of the window meets an edge, so some optimum lies on one of these."""
        edges = self.edges_at_s
        low, high = np.searchsorted(edges, (earliest_s, latest_s))
        low_end, high_end = np.searchsorted(edges, (earliest_s + duration_s, latest_s + duration_s))
        starts = np.concatenate(
            (edges[low:high], edges[low_end:high_end] - duration_s, np.array([earliest_s, latest_s]))
        )
        starts = starts[(starts >= earliest_s) & (starts <= latest_s)]
        starts.sort()
        return starts

    def steps_between(self, start_at_s: float, end_at_s: float) -> tuple[Floats, Floats]:
        """Edges (m + 1,) and values (m,) of the part inside the interval, which must lie inside the series."""
        self._refuse_outside(start_at_s, end_at_s)
        first = int(self.edges_at_s.searchsorted(start_at_s, side="right"))
        last = max(first, int(self.edges_at_s.searchsorted(end_at_s, side="left")))
        edges = np.empty(last - first + 2)
        edges[0], edges[1:-1], edges[-1] = start_at_s, self.edges_at_s[first:last], end_at_s
        return edges, self.gco2e_per_kwh[first - 1 : last]

    # -- making another ---------------------------------------------------------------------------------------------

    def between(self, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """The part inside the interval, cut exactly. Raises OutsideRangeError."""
        edges, values = self.steps_between(start_at_s, end_at_s)
        if self.has_gap or not start_at_s < end_at_s:
            return replace(self, edges_at_s=edges, gco2e_per_kwh=values)
        return self._whole_part(edges, values)

    def resampled(self, edges_at_s: Floats) -> IntensitySeries:
        """Time-weighted means on other edges; a new step that touches a gap is a gap."""
        self._refuse_outside(float(edges_at_s[0]), float(edges_at_s[-1]))
        steps_s = np.diff(edges_at_s)
        means = np.diff(self._cumulative(edges_at_s)) / steps_s
        means[np.diff(np.interp(edges_at_s, self.edges_at_s, self._gap_s)) > 0] = np.nan
        return replace(self, edges_at_s=edges_at_s, gco2e_per_kwh=means)

    def followed_by(self, later: IntensitySeries) -> IntensitySeries:
        """This series until `later` begins, then `later`; a hole between them is a gap. Labels are `later`'s.

        Raises MixedSignalsError, and MalformedSeriesError when the zones differ.
        """
        refuse_mixture((self, later))
        if self.zone != later.zone:
            raise MalformedSeriesError(f"cannot join {self.zone} with {later.zone}")
        if later.start_at_s <= self.start_at_s:
            return later
        head = self if self.end_at_s <= later.start_at_s else self.between(self.start_at_s, later.start_at_s)
        hole = head.end_at_s < later.start_at_s
        edges = np.concatenate((head.edges_at_s, later.edges_at_s if hole else later.edges_at_s[1:]))
        gap = [np.nan] if hole else []
        values = np.concatenate((head.gco2e_per_kwh, gap, later.gco2e_per_kwh))
        return replace(later, edges_at_s=edges, gco2e_per_kwh=values)

    def scaled(self, ratio: float) -> IntensitySeries:
        """Every value times `ratio`, e.g. a PUE or a change of unit."""
        return replace(self, gco2e_per_kwh=self.gco2e_per_kwh * ratio)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _whole_part(self, edges_at_s: Floats, gco2e_per_kwh: Floats) -> IntensitySeries:
        """A part without a gap, made without the checks that the whole has passed: they take most of the time.

        A year of fifty zones with a forecast every six hours is 146,000 of them.
        """
        part = object.__new__(type(self))
        for name in _LABELS:
            object.__setattr__(part, name, getattr(self, name))
        sums = _prefix_sums(gco2e_per_kwh * (edges_at_s[1:] - edges_at_s[:-1]))
        object.__setattr__(part, "edges_at_s", _frozen(edges_at_s))
        object.__setattr__(part, "gco2e_per_kwh", _frozen(gco2e_per_kwh))
        object.__setattr__(part, "_integral_g_s_per_kwh", sums)
        object.__setattr__(part, "_gap_s", self._gap_s[: len(edges_at_s)])  # all of it is zero
        object.__setattr__(part, "has_gap", False)
        return part

    def _cumulative(self, instants_s: Floats) -> Floats:
        return np.interp(instants_s, self.edges_at_s, self._integral_g_s_per_kwh)

    def _gap_between_s(self, start_at_s: float, end_at_s: float) -> float:
        if not self.has_gap:  # as nearly always; a plan of a thousand jobs asks a thousand times
            return 0.0
        before, after = np.interp((start_at_s, end_at_s), self.edges_at_s, self._gap_s)
        return float(after - before)

    def _refuse_outside(self, start_at_s: float, end_at_s: float) -> None:
        if not self.start_at_s <= start_at_s <= end_at_s <= self.end_at_s:
            raise OutsideRangeError(self.zone, start_at_s, end_at_s, self.start_at_s, self.end_at_s)

    def _refuse_unknown(self, start_at_s: float, end_at_s: float) -> None:
        self._refuse_outside(start_at_s, end_at_s)
        if self._gap_between_s(start_at_s, end_at_s) > 0:
            raise MissingIntensityError(self.zone, start_at_s, end_at_s)


_LABELS = tuple(
    one.name for one in fields(IntensitySeries) if one.init and one.name not in ("edges_at_s", "gco2e_per_kwh")
)


def refuse_mixture(series: Iterable[IntensitySeries]) -> None:
    """Raises MixedSignalsError unless all series answer the same question on the same basis."""
    kinds = {(one.signal, one.basis) for one in series}
    if len(kinds) > 1:
        named = ", ".join(sorted(f"{signal}/{basis}" for signal, basis in kinds))
        raise MixedSignalsError(f"these series cannot be compared: {named}")


def from_points(
    zone: str,
    starts_at_s: Sequence[float] | Floats,
    gco2e_per_kwh: Sequence[float | None] | Floats,
    step_s: float | None = None,
    **labels: object,
) -> IntensitySeries:
    """A series from interval starts; each value holds until the next start. None and NaN are gaps.

    A missing point is bridged by the value before it for one further step; a longer silence is a gap after that. The
    usual step is `step_s` where the feed names it, else what is usual nearby, so that a change of resolution inside a
    year is no gap. Duplicate starts: the later entry wins. Raises MalformedSeriesError when empty.
    """
    starts, numbers = _latest_of_each(starts_at_s, gco2e_per_kwh)
    if len(starts) == 0:
        raise MalformedSeriesError(f"no points for {zone}")
    steps_s = np.diff(starts) if step_s is None else np.append(np.diff(starts), step_s)
    if len(steps_s) == 0:
        raise MalformedSeriesError(f"one point for {zone} and no step: say how long it holds")
    usual_s = _usual_steps_s(steps_s) if step_s is None else np.full(len(steps_s), step_s)
    if step_s is None:
        steps_s, usual_s = np.append(steps_s, usual_s[-1]), np.append(usual_s, usual_s[-1])
    edges, filled = _with_gaps(starts, numbers, steps_s, usual_s)
    return IntensitySeries(zone=zone, edges_at_s=edges, gco2e_per_kwh=filled, **labels)  # type: ignore[arg-type]


def _latest_of_each(
    starts_at_s: Sequence[float] | Floats, gco2e_per_kwh: Sequence[float | None] | Floats
) -> tuple[Floats, Floats]:
    """Sorted distinct starts and, of several values for one start, the last entry; None becomes NaN."""
    starts = np.asarray(starts_at_s, dtype=np.float64)
    numbers = np.asarray(gco2e_per_kwh, dtype=np.float64)
    if starts.shape != numbers.shape:
        raise MalformedSeriesError(f"{starts.size} starts do not fit {numbers.size} values")
    order = np.argsort(starts, kind="stable")
    starts, numbers = starts[order], numbers[order]
    last = np.append(np.diff(starts) > 0, True)[: len(starts)]
    return starts[last], numbers[last]


def _usual_steps_s(steps_s: Floats, reach: int = 12) -> Floats:
    """The resolution around each step: the median of `reach` steps on either side and the step itself, where half of
    them agree on it (at a change of resolution, its own side does); where many points are missing they do not, and the
    most common step of all holds.
    """
    if (steps_s == steps_s[0]).all():
        return steps_s
    padded = np.pad(steps_s, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    median = np.nanmedian(windows, axis=1)
    agreeing = (windows == median[:, None]).sum(axis=1) / (~np.isnan(windows)).sum(axis=1)
    lengths, counts = np.unique(steps_s, return_counts=True)
    return np.asarray(np.where(agreeing >= 0.5, median, np.minimum(median, lengths[counts.argmax()])), dtype=np.float64)


def _with_gaps(starts_at_s: Floats, gco2e_per_kwh: Floats, steps_s: Floats, usual_s: Floats) -> tuple[Floats, Floats]:
    held_s = CARRIED_STEPS * usual_s
    holes = steps_s > held_s
    end = starts_at_s[-1] + min(steps_s[-1], usual_s[-1])
    if not holes[:-1].any():
        return np.append(starts_at_s, end), gco2e_per_kwh
    where = np.flatnonzero(holes[:-1]) + 1
    edges = np.insert(starts_at_s, where, starts_at_s[where - 1] + held_s[where - 1])
    return np.append(edges, end), np.insert(gco2e_per_kwh, where, np.nan)


def _prefix_sums(array: Floats) -> Floats:
    sums = np.zeros(len(array) + 1)
    array.cumsum(out=sums[1:])
    return _frozen(sums)


def _frozen(array: Floats) -> Floats:
    array.setflags(write=False)
    return array


def _refuse_malformed(zone: str, edges_at_s: Floats, gco2e_per_kwh: Floats) -> None:
    if edges_at_s.ndim != 1 or gco2e_per_kwh.shape != (max(len(edges_at_s) - 1, 0),) or len(gco2e_per_kwh) == 0:
        count = len(gco2e_per_kwh)
        raise MalformedSeriesError(f"{zone}: {count} values need {count + 1} edges and at least one value")
    if not np.isfinite(edges_at_s).all() or not (np.diff(edges_at_s) > 0).all():
        raise MalformedSeriesError(f"{zone}: edges must be finite and grow strictly")
    if np.isinf(gco2e_per_kwh).any():
        raise MalformedSeriesError(f"{zone}: an intensity is infinite")
