"""Calibrates several curves of one model on one GPU by points that are shared among them.

A curve is one task on one number of GPUs. Decides how much of what the points say holds for a curve that has one of
them, or none: an update of a Gaussian prior, in which every curve departs from the model by a line in the logarithm of
the batch, one part of it common to the group and one its own. A curve on which all points lie is calibrated as ever.
Knows no file and no profile. Where the deviations come from: benchmarks/energy_anchors.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shaping.calibration import Point, correction_from
from shaping.correction import Correction, LogLine
from shaping.saturation import Yield

MIDDLE_BATCH = 45.0  # about the geometric mean of what is measured: there level and slope are independent

Curve = tuple[str, ...]
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Standard deviations of ln(measured / modelled): of its level and its slope in ln(batch), and of single points."""

    group_ln_ratio: float
    group_slope_ln_ratio: float
    curve_ln_ratio: float
    curve_slope_ln_ratio: float
    point_ln_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Departures:
    """What is known of a kind of model before anything is measured of one of them."""

    energy: Departure
    time: Departure


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A measured point beside what the model says of it."""

    curve: Curve
    measured: Point
    modelled: Yield

    @property
    def energy_ln_ratio(self) -> float:
        return math.log(self.measured.j_per_token / self.modelled.j_per_token)

    @property
    def time_ln_ratio(self) -> float:
        return math.log(self.modelled.tokens_per_s / self.measured.tokens_per_s)


def correction_for(curve: Curve, anchors: Sequence[Anchor], departures: Departures) -> Correction:
    """What brings modelled yields of one curve to measured ones. Raises CalibrationError without anchors."""
    if all(one.curve == curve for one in anchors):
        return correction_from([(one.measured, one.modelled) for one in anchors])
    energy = expected_line(curve, anchors, [one.energy_ln_ratio for one in anchors], departures.energy)
    time = expected_line(curve, anchors, [one.time_ln_ratio for one in anchors], departures.time)
    batches = [one.measured.batch_sequences for one in anchors]
    return Correction(
        time=time,
        power=LogLine(
            ln_ratio=energy.ln_ratio - time.ln_ratio,
            slope_ln_ratio=energy.slope_ln_ratio - time.slope_ln_ratio,
        ),
        from_batch=min(batches),
        to_batch=max(batches),
    )


def expected_line(curve: Curve, anchors: Sequence[Anchor], ln_ratio: Sequence[float], departure: Departure) -> LogLine:
    """The mean of the prior's lines for this curve once the anchors are known."""
    places = np.array([math.log(one.measured.batch_sequences / MIDDLE_BATCH) for one in anchors])
    names = [one.curve for one in anchors]
    weights = np.linalg.solve(covariance(names, places, departure), np.array(ln_ratio))
    is_own = np.array([name == curve for name in names])
    level = float(weights @ (departure.group_ln_ratio**2 + is_own * departure.curve_ln_ratio**2))
    slopes = departure.group_slope_ln_ratio**2 + is_own * departure.curve_slope_ln_ratio**2
    slope = float(weights @ (slopes * places))
    return LogLine(ln_ratio=level - slope * math.log(MIDDLE_BATCH), slope_ln_ratio=slope)


def covariance(curves: Sequence[Curve], places: Vector, departure: Departure) -> Vector:
    """Of measured points of one group, shape (n, n), at ln(batch / MIDDLE_BATCH) of shape (n,)."""
    number_of = {name: number for number, name in enumerate(dict.fromkeys(curves))}
    numbers = np.array([number_of[name] for name in curves])
    is_same = numbers[:, None] == numbers[None, :]
    levels = departure.group_ln_ratio**2 + is_same * departure.curve_ln_ratio**2
    slopes = departure.group_slope_ln_ratio**2 + is_same * departure.curve_slope_ln_ratio**2
    own = departure.point_ln_ratio**2 * np.eye(len(numbers))
    return np.asarray(levels + slopes * np.outer(places, places) + own)


# Fitted on training groups alone, left out of the model's own fit in turn: `python -m benchmarks.energy_anchors`. Which
# of the two sets of dense models serves where was decided by random splits: decision 0040.
DENSE_GPU = "h100-sxm"
DENSE = Departures(  # on that GPU, where the level of energy is each curve's own: models on one and on two GPUs differ
    energy=Departure(
        group_ln_ratio=0.001,
        group_slope_ln_ratio=0.03,
        curve_ln_ratio=0.091,
        curve_slope_ln_ratio=0.02,
        point_ln_ratio=0.033,
    ),
    time=Departure(
        group_ln_ratio=0.113,
        group_slope_ln_ratio=0.044,
        curve_ln_ratio=0.073,
        curve_slope_ln_ratio=0.024,
        point_ln_ratio=0.047,
    ),
)
DENSE_ELSEWHERE = Departures(
    energy=Departure(
        group_ln_ratio=0.085,
        group_slope_ln_ratio=0.028,
        curve_ln_ratio=0.032,
        curve_slope_ln_ratio=0.016,
        point_ln_ratio=0.032,
    ),
    time=Departure(
        group_ln_ratio=0.124,
        group_slope_ln_ratio=0.05,
        curve_ln_ratio=0.057,
        curve_slope_ln_ratio=0.015,
        point_ln_ratio=0.046,
    ),
)
MIXTURE = Departures(
    energy=Departure(
        group_ln_ratio=0.116,
        group_slope_ln_ratio=0.062,
        curve_ln_ratio=0.064,
        curve_slope_ln_ratio=0.043,
        point_ln_ratio=0.082,
    ),
    time=Departure(
        group_ln_ratio=0.132,
        group_slope_ln_ratio=0.029,
        curve_ln_ratio=0.082,
        curve_slope_ln_ratio=0.057,
        point_ln_ratio=0.103,
    ),
)
