"""Makes a profile fit one machine from a few measured points.

Decides the correction: one point scales step time and busy power, two or more fit exp(alpha + beta ln B) by least
squares on the log ratio of measured to modelled. Knows no file and no meter. Source: energy_model 2.4.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from shaping.correction import Correction, LogLine
from shaping.deployment import Deployment
from shaping.saturation import Traffic, Yield, saturated

_MOST_RATIO = 100.0  # a point further from the model is in another unit, or of another machine


class CalibrationError(ValueError):
    """Points from which nothing can be learnt. `index` is the offending point, None where it is none in particular."""

    def __init__(self, what: str, index: int | None = None) -> None:
        self.what, self.index = what, index
        super().__init__(what if index is None else f"point {index + 1}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement of a full worker: mean batch, energy of an output token over all GPUs, output tokens a second."""

    batch_sequences: float
    j_per_token: float
    tokens_per_s: float


def calibrate(deployment: Deployment, points: Sequence[Point], traffic: Traffic) -> Deployment:
    """The deployment corrected by points of its own traffic; its numbers are of class `calibrated` from now on.

    Whatever it was calibrated to before is forgotten. Raises CalibrationError.
    """
    plain = dataclasses.replace(deployment, correction=None)
    pairs = [(point, _modelled(plain, index, point, traffic)) for index, point in enumerate(points)]
    return dataclasses.replace(plain, correction=correction_from(pairs))


def correction_from(pairs: Sequence[tuple[Point, Yield]]) -> Correction:
    """What brings modelled yields to the points measured at the same batches. Raises CalibrationError."""
    if not pairs:
        raise CalibrationError("no point to calibrate to; one is enough to scale, two to fit the whole curve")
    batches = [point.batch_sequences for point, _ in pairs]
    ln_batches = [math.log(batch) for batch in batches]
    return Correction(
        time=_line(ln_batches, [math.log(modelled.tokens_per_s / point.tokens_per_s) for point, modelled in pairs]),
        power=_line(ln_batches, [_ln_power_ratio(point, modelled) for point, modelled in pairs]),
        from_batch=min(batches),
        to_batch=max(batches),
    )


def _ln_power_ratio(point: Point, modelled: Yield) -> float:
    measured_w = point.j_per_token * point.tokens_per_s
    return math.log(measured_w / (modelled.j_per_token * modelled.tokens_per_s))


def _modelled(plain: Deployment, index: int, point: Point, traffic: Traffic) -> Yield:
    """What the profile says at this point. Raises CalibrationError for a point that cannot be of this machine."""
    measured = (point.batch_sequences, point.j_per_token, point.tokens_per_s)
    if not all(math.isfinite(one) and one > 0 for one in measured):
        raise CalibrationError("batch, J/token and tokens/s must be finite and above 0", index)
    modelled = saturated(plain, point.batch_sequences, traffic)
    for name in ("j_per_token", "tokens_per_s"):
        ratio = getattr(point, name) / getattr(modelled, name)
        if not 1.0 / _MOST_RATIO <= ratio <= _MOST_RATIO:
            what = (
                f"{name} is {ratio:.3g} times what the profile says ({getattr(modelled, name):.3g}); is the unit right?"
            )
            raise CalibrationError(what, index)
    return modelled


def _line(ln_batch: Sequence[float], ln_ratio: Sequence[float]) -> LogLine:
    """Least squares; a level line where all batches are the same."""
    mean_batch = math.fsum(ln_batch) / len(ln_batch)
    mean_ratio = math.fsum(ln_ratio) / len(ln_ratio)
    spread_batch = math.fsum((one - mean_batch) ** 2 for one in ln_batch)
    if spread_batch <= 1e-12:  # ln of batches that differ by less than a millionth
        return LogLine(ln_ratio=mean_ratio)
    pairs = zip(ln_batch, ln_ratio, strict=True)
    slope_ratio = math.fsum((one - mean_batch) * (ratio - mean_ratio) for one, ratio in pairs) / spread_batch
    return LogLine(ln_ratio=mean_ratio - slope_ratio * mean_batch, slope_ln_ratio=slope_ratio)
