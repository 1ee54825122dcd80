"""Constants are found again in points that were made from them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.log_fit import Values, Vector, fitted

BATCHES = np.array([1.0, 8.0, 64.0, 512.0])


def time_s(values: Values) -> Vector:
    return np.asarray(values["step_s"] + values["sequence_s"] * BATCHES)


def errors(values: Values) -> Vector:
    return np.asarray(np.log(time_s(values) / time_s({"step_s": 0.01, "sequence_s": 3e-4})))


def test_what_made_the_points_is_found_when_nothing_holds_the_constants() -> None:
    found = fitted({"step_s": 0.005, "sequence_s": 1e-4}, errors, 0.0)
    assert found == pytest.approx({"step_s": 0.01, "sequence_s": 3e-4}, rel=1e-6)


def test_a_tight_prior_keeps_the_constants_where_they_started() -> None:
    start = {"step_s": 0.005, "sequence_s": 1e-4}
    assert fitted(start, errors, 1e4) == pytest.approx(start, rel=1e-6)
