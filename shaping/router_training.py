"""Trains a router model from queries whose answers were judged: regularised logistic regression, deterministic.

Decides the penalty by cross-validation over subjects: a router is judged on subjects it has not seen, so whole subjects
are left out. Reads no file; same rows, same model, to the last digit on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from shaping.router_model import Head, RouterModel, Vector, feature_rows

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
PENALTY_UNVALIDATED = 30.0  # where there are too few subjects to choose by
_FOLDS = 6
_LEAST_SUBJECTS = 3
_MOST_STEPS, _STEP_IS_NOTHING = 50, 1e-9
# Newton's method may leap where all answers are alike; half a count either way keeps the bias finite.
_HALF_COUNT = 0.5


class TrainingError(ValueError):
    """Rows that nothing can be learned from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Queries with the subject of each and, for each model by name, whether it answered well; shape (queries,)."""

    queries: Sequence[str]
    subjects: Sequence[str]
    is_right: Mapping[str, NDArray[np.bool_]]


def train(judged: Judged) -> RouterModel:
    """A head for every judged model. Raises TrainingError."""
    if not judged.queries:
        raise TrainingError("there is no query to learn from")
    if not judged.is_right:
        raise TrainingError("no model's answers were judged")
    rows = feature_rows(judged.queries)
    folds = folds_of(judged.subjects)
    return _fitted(rows, judged, best_penalty(rows, folds, judged.is_right))


def folds_of(subjects: Sequence[str]) -> NDArray[np.int64]:
    """The fold of each query: whole subjects, sizes balanced, the same for any order of the rows."""
    sizes: dict[str, int] = {}
    for subject in subjects:
        sizes[subject] = sizes.get(subject, 0) + 1
    loads, fold_of = [0] * min(_FOLDS, len(sizes)), {}
    for subject in sorted(sizes, key=lambda name: (-sizes[name], crc32(name.encode()), name)):
        fold_of[subject] = loads.index(min(loads))
        loads[fold_of[subject]] += sizes[subject]
    return np.array([fold_of[subject] for subject in subjects], dtype=np.int64)


def best_penalty(rows: Vector, folds: NDArray[np.int64], is_right: Mapping[str, NDArray[np.bool_]]) -> float:
    """The penalty whose chances fit left-out subjects best, by log loss; of equals the larger."""
    if len(set(folds.tolist())) < _LEAST_SUBJECTS:
        return PENALTY_UNVALIDATED
    losses = {penalty: _left_out_loss(rows, folds, is_right, penalty) for penalty in reversed(PENALTIES)}
    return min(losses, key=losses.__getitem__)


def _left_out_loss(
    rows: Vector, folds: NDArray[np.int64], is_right: Mapping[str, NDArray[np.bool_]], penalty_factor: float
) -> float:
    total = 0.0
    for fold in sorted(set(folds.tolist())):
        seen, unseen = folds != fold, folds == fold
        means, scales = _scale(rows[seen])
        plain = RouterModel(heads={}, means=means, scales=scales, penalty_factor=penalty_factor, queries=0, subjects=())
        for right in is_right.values():
            head = logistic(plain.standardised(rows[seen]), right[seen], penalty_factor)
            total += _log_loss(plain.standardised(rows[unseen]), right[unseen], head)
    return total


def _log_loss(rows: Vector, right: NDArray[np.bool_], head: Head) -> float:
    logit = rows @ head.weights + head.bias_logit_ratio
    return float(np.logaddexp(0.0, np.where(right, -logit, logit)).sum())


def _fitted(rows: Vector, judged: Judged, penalty_factor: float) -> RouterModel:
    means, scales = _scale(rows)
    plain = RouterModel(
        heads={},
        means=means,
        scales=scales,
        penalty_factor=penalty_factor,
        queries=len(rows),
        subjects=tuple(sorted(set(judged.subjects))),
    )
    standardised = plain.standardised(rows)
    heads = {name: logistic(standardised, right, penalty_factor) for name, right in judged.is_right.items()}
    return RouterModel(
        heads=heads,
        means=means,
        scales=scales,
        penalty_factor=penalty_factor,
        queries=plain.queries,
        subjects=plain.subjects,
    )


def _scale(rows: Vector) -> tuple[Vector, Vector]:
    scales = rows.std(axis=0)
    return rows.mean(axis=0), np.where(scales > 0, scales, 1.0)


def logistic(rows: Vector, right: NDArray[np.bool_], penalty_factor: float) -> Head:
    """Logistic regression by Newton's method; the bias is not penalised. Rows of shape (queries, features)."""
    count, width = rows.shape
    with_one = np.hstack([rows, np.ones((count, 1))])
    ridge = np.diag([*[penalty_factor] * width, 1e-9])
    solution = np.zeros(width + 1)
    hits = float(right.sum())
    solution[-1] = np.log((hits + _HALF_COUNT) / (count - hits + _HALF_COUNT))
    if 0 < hits < count:
        for _ in range(_MOST_STEPS):
            step = _newton_step(with_one, right, ridge, solution)
            solution -= step
            if np.abs(step).max() < _STEP_IS_NOTHING:
                break
    return Head(bias_logit_ratio=float(solution[-1]), weights=solution[:-1])


def _newton_step(rows: Vector, right: NDArray[np.bool_], ridge: Vector, solution: Vector) -> Vector:
    chance = 1.0 / (1.0 + np.exp(-rows @ solution))
    gradient = rows.T @ (chance - right) + ridge @ solution
    curvature = (rows * (chance * (1.0 - chance))[:, None]).T @ rows + ridge
    return np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
