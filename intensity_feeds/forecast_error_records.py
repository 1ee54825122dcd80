"""Remembered forecasts as text, so that a restart forgets no error. Knows no file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from intensity_feeds.forecast_errors import ForecastErrors, Issue
from intensity_feeds.records import sealed, unsealed
from intensity_feeds.series import Floats

_FORMAT = 1
# Finer than any feed publishes; the text is a third of what it would be.
_DIGITS = 3


def as_text(errors: ForecastErrors) -> str:
    """One line of checksum, one of JSON. Missing values are null."""
    issues = [
        {
            "issued_at_s": issue.issued_at_s,
            "start_at_s": issue.start_at_s,
            "forecast_gco2e_per_kwh": _listed(issue.forecast_gco2e_per_kwh),
            "actual_gco2e_per_kwh": _listed(issue.actual_gco2e_per_kwh),
        }
        for issue in errors.issues
    ]
    saved = {"format": _FORMAT, "zone": errors.zone, "issues": issues}
    return sealed(json.dumps(saved, allow_nan=False, separators=(",", ":")))


def from_text(text: str) -> ForecastErrors:
    """What `as_text` wrote. Raises DamagedRecordError."""
    return unsealed(text, _errors)


def _errors(saved: Mapping[str, Any]) -> ForecastErrors:
    if saved["format"] != _FORMAT:
        raise ValueError(saved["format"])
    return ForecastErrors(zone=saved["zone"], issues=tuple(_issue(one) for one in saved["issues"]))


def _issue(saved: Mapping[str, Any]) -> Issue:
    forecast = np.array(saved["forecast_gco2e_per_kwh"], dtype=np.float64)
    actual = np.array(saved["actual_gco2e_per_kwh"], dtype=np.float64)
    if forecast.ndim != 1 or forecast.shape != actual.shape or len(forecast) == 0:
        raise ValueError("actual values do not fit the forecast")
    return Issue(
        issued_at_s=float(saved["issued_at_s"]),
        start_at_s=float(saved["start_at_s"]),
        forecast_gco2e_per_kwh=forecast,
        actual_gco2e_per_kwh=actual,
    )


def _listed(array: Floats) -> list[float | None]:
    return [None if value != value else round(value, _DIGITS) for value in array.tolist()]
