"""What calibration changes about a deployment: its step time and its power, each by exp(alpha + beta ln B).

Decides how a fitted line is applied, and that it is never carried beyond the batches it was fitted on. Knows no
measurement: who fits is calibration.py. Source: energy_model 2.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line in the logarithm of the batch: measured over modelled is exp(ln_ratio + slope * ln B)."""

    ln_ratio: float = 0.0
    slope_ln_ratio: float = 0.0

    def at_ratio(self, batch_sequences: float) -> float:
        return line_ratio(self.ln_ratio, self.slope_ln_ratio, batch_sequences)


def line_ratio(ln_ratio: float, slope_ln_ratio: float, batch_sequences: float) -> float:
    return math.exp(ln_ratio + slope_ln_ratio * math.log(batch_sequences))


def within_batch(from_batch: float, to_batch: float, batch_sequences: float) -> float:
    """The nearest batch that was measured."""
    return min(to_batch, max(from_batch, batch_sequences))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Factors on step time and power between the smallest and the largest batch measured; constant outside.

    A line carried on would sooner or later make a fuller batch dearer than two half-full ones.
    """

    time: LogLine
    power: LogLine
    from_batch: float
    to_batch: float

    def time_ratio(self, batch_sequences: float) -> float:
        return self.time.at_ratio(self._within_batch(batch_sequences))

    def power_ratio(self, batch_sequences: float) -> float:
        return self.power.at_ratio(self._within_batch(batch_sequences))

    def _within_batch(self, batch_sequences: float) -> float:
        return within_batch(self.from_batch, self.to_batch, batch_sequences)


class CorrectionNumbers(NamedTuple):
    """A correction as plain numbers."""

    from_batch: float
    to_batch: float
    time_ln_ratio: float
    time_slope_ln_ratio: float
    power_ln_ratio: float
    power_slope_ln_ratio: float


def correction_numbers(correction: Correction | None) -> CorrectionNumbers:
    """Without one, the numbers of a correction that changes nothing."""
    if correction is None:
        return CorrectionNumbers(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    time, power = correction.time, correction.power
    return CorrectionNumbers(
        from_batch=float(correction.from_batch),
        to_batch=float(correction.to_batch),
        time_ln_ratio=time.ln_ratio,
        time_slope_ln_ratio=time.slope_ln_ratio,
        power_ln_ratio=power.ln_ratio,
        power_slope_ln_ratio=power.slope_ln_ratio,
    )
