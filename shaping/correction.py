"""What calibration changes about a deployment: its step time and its power, each by exp(alpha + beta ln B).

Decides how a fitted line is applied, and that it is never carried beyond the batches it was fitted on. Knows no
measurement: who fits is calibration.py. Source: energy_model 2.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line in the logarithm of the batch: measured over modelled is exp(ln_ratio + slope * ln B)."""

    ln_ratio: float = 0.0
    slope_ln_ratio: float = 0.0

    def at_ratio(self, batch_sequences: float) -> float:
        return math.exp(self.ln_ratio + self.slope_ln_ratio * math.log(batch_sequences))


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
        return min(self.to_batch, max(self.from_batch, batch_sequences))
