"""How `slacktide profiles` prints what it found: facts for scripts, rows for people. Decides no number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slacktide.columns import UNKNOWN

if TYPE_CHECKING:
    from shaping.calibration import Point
    from shaping.deployment import Deployment
    from shaping.evaluation import Group, Spread
    from shaping.meter_log import MeterReading
    from shaping.saturation import Traffic, Yield

_AMOUNTS = {
    "step_s": ("step", 1e3, "ms"),
    "power_w": ("power of a GPU", 1.0, "W"),
    "tokens_per_s": ("speed", 1.0, "tokens/s"),
    "j_per_token": ("energy of a token", 1.0, "J"),
    "j_per_request": ("energy of a request", 1.0, "J"),
}


def deployed_facts(deployment: Deployment) -> dict[str, Any]:
    return {
        "model": deployment.model.name,
        "gpu": deployment.gpu.name,
        "gpus": deployment.gpus,
        "stack": deployment.stack.name,
        "precision": str(deployment.weight_precision),
    }


def yield_facts(found: Yield) -> dict[str, Any]:
    amounts = {name: getattr(found, name) for name in _AMOUNTS}
    bands = {name: found.band_of(name)._asdict() for name in _AMOUNTS}
    return {**amounts, "basis": "modelled", "error_class": str(found.error_class), "bands": bands}


def yield_rows(found: Yield) -> list[tuple[str, ...]]:
    rows = []
    for name, (label, scale, unit) in _AMOUNTS.items():
        numbers = (getattr(found, name), *found.band_of(name))
        shown = [f"{number * scale:.4g}" for number in numbers]
        rows.append((f"{label}, {unit}", *shown))
    return rows


def meter_facts(reading: MeterReading) -> dict[str, Any]:
    """Where the points of a log come from."""
    return {
        "energy_from": str(reading.energy_from),
        "counter_off_power_ratio": reading.disagreement_ratio,
        "lengths_from": "log" if reading.traffic else "--prompt and --output",
        "windows_used": reading.windows_used,
        "windows_left_out": reading.windows_left_out,
    }


def correction_facts(calibrated: Deployment) -> dict[str, Any]:
    from shaping.uncertainty import class_factors

    correction = calibrated.correction
    if correction is None:
        raise AssertionError("calibrate() leaves a correction")
    lines = {"step_time": correction.time, "power": correction.power}
    shown = {name: {"alpha": line.ln_ratio, "beta": line.slope_ln_ratio} for name, line in lines.items()}
    batches = {"from_batch": correction.from_batch, "to_batch": correction.to_batch}
    known = calibrated.error_class
    return {
        "basis": "modelled",
        "error_class": str(known),
        "band_factors": class_factors(known)._asdict(),
        "correction": {**shown, **batches},
    }


def residuals(
    plain: Deployment, calibrated: Deployment, points: Sequence[Point], traffic: Traffic
) -> list[dict[str, float]]:
    from shaping.saturation import saturated

    rows = []
    for point in points:
        before = saturated(plain, point.batch_sequences, traffic)
        after = saturated(calibrated, point.batch_sequences, traffic)
        rows.append(
            {
                "batch": point.batch_sequences,
                "j_per_token": point.j_per_token,
                "default_j_per_token": before.j_per_token,
                "predicted_j_per_token": after.j_per_token,
                "tokens_per_s": point.tokens_per_s,
                "default_tokens_per_s": before.tokens_per_s,
                "predicted_tokens_per_s": after.tokens_per_s,
            }
        )
    return rows


def group_facts(group: Group) -> dict[str, Any]:
    from shaping.evaluation import energy_spread, error_class, speed_spread
    from shaping.uncertainty import class_factors

    rows = [
        {
            "line": one.measured.line,
            "batch": one.measured.batch_sequences,
            "j_per_token": one.measured.j_per_token,
            "predicted_j_per_token": one.predicted.j_per_token,
            "tokens_per_s": one.measured.tokens_per_s,
            "predicted_tokens_per_s": one.predicted.tokens_per_s,
        }
        for one in group.scored
    ]
    known = error_class(group)
    return {
        "group_id": group.group_id,
        "gpu": group.gpu,
        "architecture": group.architecture,
        "rows": rows,
        "j_per_token_error_ratio": _spread(energy_spread([group])),
        "tokens_per_s_error_ratio": _spread(speed_spread([group])),
        "error_class": None if known is None else str(known),
        "band_factors": None if known is None else class_factors(known)._asdict(),
        "anchor_lines": list(group.anchor_lines),
        "reason": group.reason or None,
        "not_predicted": [{"line": line, "reason": reason} for line, reason in group.left_out],
    }


def overall_facts(groups: Sequence[Group]) -> dict[str, Any]:
    from shaping.evaluation import energy_spread, speed_spread

    return {
        "groups": len(groups),
        "groups_not_predicted": sum(not one.scored for one in groups),
        "rows": sum(len(one.scored) for one in groups),
        "rows_not_predicted": sum(len(one.left_out) for one in groups),
        "j_per_token_error_ratio": _spread(energy_spread(groups)),
        "tokens_per_s_error_ratio": _spread(speed_spread(groups)),
    }


def _spread(one: Spread) -> dict[str, Any]:
    return {"median": one.median_ratio, "p90": one.p90_ratio, "points": one.points}


def group_row(group: Group) -> tuple[str, ...]:
    from shaping.evaluation import energy_spread, speed_spread

    reasons = "; ".join(dict.fromkeys(reason for _, reason in group.left_out))
    spreads = (*percents(energy_spread([group])), *percents(speed_spread([group])))
    return (group.group_id, str(len(group.scored)), *spreads, f"{len(group.left_out)}: {reasons}" if reasons else "")


def total_row(groups: Sequence[Group]) -> tuple[str, ...]:
    from shaping.evaluation import energy_spread, speed_spread

    points = sum(len(one.scored) for one in groups)
    return ("all", str(points), *percents(energy_spread(groups)), *percents(speed_spread(groups)), "")


def percents(one: Spread) -> tuple[str, str]:
    return (_percent(one.median_ratio), _percent(one.p90_ratio))


def _percent(error_ratio: float | None) -> str:
    return UNKNOWN if error_ratio is None else f"{error_ratio:.1%}"


def flat(facts: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        rows += flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return rows


def shown(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.6g}" if isinstance(value, float) else str(value)
