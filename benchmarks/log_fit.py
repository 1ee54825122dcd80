"""Fits positive constants of the energy model on the logarithm of predicted over measured.

Decides how a fit is done: damped Gauss-Newton, each constant held to where it started. Knows no constant by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from shaping.evaluation import Subject, predict

_STEPS = 12
_SETTLED = 1e-4  # a step that changes no constant by more than this share is the last

Vector = NDArray[np.float64]
Values = Mapping[str, float]


def fitted(start: Values, errors: Callable[[Values], Vector], prior_ratio: float) -> dict[str, float]:
    """The constants with the least squared errors and the least squared change of their logarithms, times the prior."""
    names, values = list(start), np.array(list(start.values()))

    def at(logs: Vector) -> dict[str, float]:
        return dict(zip(names, (values * np.exp(logs)).tolist(), strict=True))

    def residuals(logs: Vector) -> Vector:
        return np.concatenate([errors(at(logs)), prior_ratio * logs])

    logs = np.zeros(len(names))
    here, damping = residuals(logs), 1e-2
    for _ in range(_STEPS):
        slopes = _slopes(residuals, logs, here)
        normal = slopes.T @ slopes
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slopes.T @ here)
        there = residuals(logs + step)
        if there @ there < here @ here:
            logs, here, damping = logs + step, there, damping / 3
        else:
            damping *= 5
        if np.abs(step).max() < _SETTLED:
            break
    return at(logs)


def log_errors(subjects: Iterable[Subject], most: float) -> Vector:
    """Of energy and of speed, none above `most`: a point which the model cannot explain must not pull the others."""
    logs = []
    for one in subjects:
        made, measured = predict(one), one.measured
        if made is not None and measured.j_per_token and measured.tokens_per_s:
            logs.append(math.log(made.j_per_token / measured.j_per_token))
            logs.append(math.log(made.tokens_per_s / measured.tokens_per_s))
    return most * np.tanh(np.array(logs) / most)


def _slopes(residuals: Callable[[Vector], Vector], logs: Vector, here: Vector) -> Vector:
    nudge = 1e-5
    return np.stack([(residuals(logs + nudge * row) - here) / nudge for row in np.eye(len(logs))], axis=1)
