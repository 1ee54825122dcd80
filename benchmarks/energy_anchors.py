"""How much two anchors on one curve say of the other curves of their group, learnt on training groups alone.

    python -m benchmarks.energy_anchors

Each training group of `energy_fit` and `energy_fit_older` is left out of their fits in turn. What is left of it is
fitted by lines of ln(batch), one part common to the group and one of each curve, as most likely (marginal likelihood):
the deviations that `shaping/group_calibration.py` ships. Prints them beside what is shipped, and the errors of two
anchors a group when the deviations come from other groups: one line for all curves of the group, and the update. Groups
that are held back are not read.

Reads energy/llm_energy_measurements.csv.gz of ../shared/data (SLACKTIDE_DATA overrides); a minute or two on one core.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import energy_fit, energy_fit_older
from benchmarks.energy_fit import DENSE, EXPERTS, NOT_TEXT, cell
from benchmarks.energy_model import MEASUREMENTS
from shaping.calibration import Point, correction_from
from shaping.evaluation import Scored, Subject, evaluate, predict, spread
from shaping.group_calibration import DENSE as SHIPPED_DENSE
from shaping.group_calibration import DENSE_ELSEWHERE as SHIPPED_ELSEWHERE
from shaping.group_calibration import (
    MIDDLE_BATCH,
    Anchor,
    Curve,
    Departure,
    Departures,
    Vector,
    correction_for,
    covariance,
)
from shaping.group_calibration import MIXTURE as SHIPPED_MIXTURE
from shaping.profiles.published import subject
from slacktide.measured import measurements
from tests.real_data import data_folder

FOLDS = 5
H100 = "h100-sxm"
ELSEWHERE = f"{DENSE}, other GPUs"
SHIPPED = {DENSE: SHIPPED_DENSE, ELSEWHERE: SHIPPED_ELSEWHERE, EXPERTS: SHIPPED_MIXTURE}
_START_LN_RATIO, _SMALLEST_LN_RATIO = 0.05, 1e-3
_MOST_LN_RATIO = 0.4  # as far as one point may pull
_FIRST_STEP, _LAST_STEP = 1.0, 0.02  # of the logarithm of a deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One group on one stack beside a model that never saw it: what the model leaves, of shape (n,)."""

    members: tuple[Subject, ...]
    curves: tuple[Curve, ...]
    places: Vector  # ln(batch / MIDDLE_BATCH)
    energy_ln_ratio: Vector
    time_ln_ratio: Vector


def left_out_of_fits(subjects: Sequence[Subject]) -> Mapping[str, list[LeftOut]]:
    """Training groups by kind: dense models on H100 under both stacks, the same elsewhere, and mixtures of experts."""
    points = energy_fit.usable(subjects)
    dense = [one for gpu in energy_fit.GPUS for one in energy_fit.left_out(gpu, points, DENSE)]
    family = energy_fit_older.FAMILIES[0]
    trained = [one for one in subjects if family.has(one) and not energy_fit.is_held_back(one.measured.group_id)]
    dense += energy_fit_older.left_out(family, trained)
    experts = [one for gpu in energy_fit.GPUS for one in energy_fit.left_out(gpu, points, EXPERTS)]
    return {
        DENSE: groups_of(one for one in dense if _gpu(one) == H100),
        ELSEWHERE: groups_of(one for one in dense if _gpu(one) != H100),
        EXPERTS: groups_of(experts),
    }


def _gpu(one: Subject) -> str:
    return "" if one.deployment is None else one.deployment.gpu.name


def groups_of(members: Iterable[Subject]) -> list[LeftOut]:
    gathered: dict[tuple[str, str], list[tuple[Subject, Anchor]]] = defaultdict(list)
    for one in members:
        anchor = _anchor(one)
        if anchor is not None:
            gathered[one.measured.group_id, one.measured.stack].append((one, anchor))
    return [_left_out(found) for found in gathered.values()]


def _anchor(one: Subject) -> Anchor | None:
    made, measured = predict(one), one.measured
    if made is None or not measured.j_per_token or not measured.tokens_per_s:
        return None
    point = Point(
        batch_sequences=measured.batch_sequences,
        j_per_token=measured.j_per_token,
        tokens_per_s=measured.tokens_per_s,
    )
    return Anchor(curve=measured.curve, measured=point, modelled=made)


def _left_out(found: Sequence[tuple[Subject, Anchor]]) -> LeftOut:
    anchors = [anchor for _, anchor in found]
    return LeftOut(
        members=tuple(one for one, _ in found),
        curves=tuple(one.curve for one in anchors),
        places=np.array([math.log(one.measured.batch_sequences / MIDDLE_BATCH) for one in anchors]),
        energy_ln_ratio=np.array([one.energy_ln_ratio for one in anchors]),
        time_ln_ratio=np.array([one.time_ln_ratio for one in anchors]),
    )


# -- the deviations ----------------------------------------------------------------------------------------------------


def departures_of(groups: Sequence[LeftOut]) -> Departures:
    return Departures(
        energy=most_likely(groups, [one.energy_ln_ratio for one in groups]),
        time=most_likely(groups, [one.time_ln_ratio for one in groups]),
    )


def most_likely(groups: Sequence[LeftOut], ln_ratios: Sequence[Vector]) -> Departure:
    """The deviations under which what was left is most likely: each in turn up or down, by ever smaller steps."""

    def cost(logs: Vector) -> float:
        return _cost(groups, ln_ratios, _departure(logs))

    logs, step = np.full(5, math.log(_START_LN_RATIO)), _FIRST_STEP
    best = cost(logs)
    while step >= _LAST_STEP:
        before = best
        for nudge in (sign * step * row for row in np.eye(len(logs)) for sign in (1.0, -1.0)):
            tried = cost(logs + nudge)
            if tried < best:
                logs, best = logs + nudge, tried
        if best == before:
            step /= 2
    return _departure(logs)


def _departure(logs: Vector) -> Departure:
    values = np.maximum(np.exp(logs), _SMALLEST_LN_RATIO).tolist()
    return Departure(**dict(zip(Departure.__slots__, values, strict=True)))


def _cost(groups: Sequence[LeftOut], ln_ratios: Sequence[Vector], departure: Departure) -> float:
    """Minus the logarithm of the likelihood, constants left out."""
    total = 0.0
    for one, left in zip(groups, ln_ratios, strict=True):
        lower = np.linalg.cholesky(covariance(one.curves, one.places, departure))
        whitened = np.linalg.solve(lower, np.clip(left, -_MOST_LN_RATIO, _MOST_LN_RATIO))
        total += 0.5 * float(whitened @ whitened) + float(np.log(np.diag(lower)).sum())
    return total


# -- what they are worth -----------------------------------------------------------------------------------------------


def scored_with(group: LeftOut, departures: Departures | None, *, is_text: bool) -> list[Scored]:
    """All but the two anchors of a group; without departures by one line for all of its curves."""
    members = [one for one in group.members if not (is_text and NOT_TEXT in one.measured.flags)]
    (found,) = evaluate(members, 2) if members else (None,)
    if found is None or not found.anchor_lines:
        return []
    anchors = [anchor for one in members if one.measured.line in found.anchor_lines and (anchor := _anchor(one))]
    others = [one for one in members if one.measured.line not in found.anchor_lines]
    line = correction_from([(one.measured, one.modelled) for one in anchors])
    scored = []
    for one in others:
        correction = line if departures is None else correction_for(one.measured.curve, anchors, departures)
        made = predict(one, correction)
        if made is not None:
            scored.append(Scored(one.measured, made))
    return scored


def in_folds(groups: Sequence[LeftOut], *, is_text: bool) -> list[Scored]:
    """Every group by deviations that were fitted without its fifth of the groups."""
    scored: list[Scored] = []
    for fold in range(FOLDS):
        departures = departures_of([one for number, one in enumerate(groups) if number % FOLDS != fold])
        for one in groups[fold::FOLDS]:
            scored += scored_with(one, departures, is_text=is_text)
    return scored


def _is_mixed(group: LeftOut) -> bool:
    return len(set(group.curves)) > 1


def _cells(scored: Sequence[Scored]) -> str:
    energy = spread(one.energy_error_ratio for one in scored)
    return f"{energy.points} | {cell(energy)} | {cell(spread(one.speed_error_ratio for one in scored))}"


def _print_departures(name: str, found: Departures, shipped: Departures) -> None:
    for what in ("energy", "time"):
        ours, theirs = getattr(found, what), getattr(shipped, what)
        shown = (f"{getattr(ours, field):.3f} ({getattr(theirs, field):g})" for field in Departure.__slots__)
        print(f"| {name} | {what} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    subjects = [subject(one) for one in measurements(data_folder() / MEASUREMENTS)]
    kinds = left_out_of_fits(subjects)
    print("| fitted (shipped) | of | group | its slope | curve | its slope | point |\n|---|---|---|---|---|---|---|")
    for name, groups in kinds.items():
        _print_departures(name, departures_of(groups), SHIPPED[name])
    print("\n| left out | groups | two anchors a group | points | J/token | tokens/s |\n|---|---|---|---|---|---|")
    for name, groups in kinds.items():
        several = [one for one in groups if _is_mixed(one)]
        for what, members, is_text in (
            (f"{name}, text", groups, True),
            (f"{name}, all tasks", groups, False),
            (f"{name}, all tasks, several curves", several, False),
        ):
            line = [scored for one in members for scored in scored_with(one, None, is_text=is_text)]
            print(f"| {what} | {len(members)} | one line | {_cells(line)} |")
            print(f"| | | update | {_cells(in_folds(members, is_text=is_text))} |", flush=True)
            shipped = [scored for one in members for scored in scored_with(one, SHIPPED[name], is_text=is_text)]
            print(f"| | | update, as shipped | {_cells(shipped)} |", flush=True)


if __name__ == "__main__":
    main()
