"""How far predictions are from measured serving points, by group of a model on a GPU.

Decides what is predicted, what calibrates and what is scored, and lists with a reason whatever cannot be predicted.
Knows no profile and no file: each measurement comes with its deployment, or with the reason why it has none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shaping.calibration import Point
from shaping.correction import Correction
from shaping.deployment import Deployment, ErrorClass
from shaping.group_calibration import DENSE, DENSE_ELSEWHERE, DENSE_GPU, MIXTURE, Anchor, Departures, correction_for
from shaping.measurements import Measurement, Phase, Unread
from shaping.saturation import Traffic, Yield, saturated, static_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A measurement beside what is to predict it; without a deployment, `reason` says why not."""

    measured: Measurement
    deployment: Deployment | None = None
    traffic: Traffic | None = None
    reason: str = ""


class Scored(NamedTuple):
    """A measured point beside its prediction."""

    measured: Measurement
    predicted: Yield

    @property
    def energy_error_ratio(self) -> float | None:
        measured = self.measured.j_per_token
        return None if measured is None else abs(self.predicted.j_per_token / measured - 1.0)

    @property
    def speed_error_ratio(self) -> float | None:
        measured = self.measured.tokens_per_s
        return None if measured is None else abs(self.predicted.tokens_per_s / measured - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All points of one model on one GPU. `left_out` are the lines that were not predicted, each with its reason."""

    group_id: str
    gpu: str
    architecture: str
    scored: tuple[Scored, ...]
    left_out: tuple[tuple[int, str], ...]
    anchor_lines: tuple[int, ...] = ()
    reason: str = ""


class Spread(NamedTuple):
    """Median and 90th percentile of relative errors; None when nothing was measured."""

    median_ratio: float | None
    p90_ratio: float | None
    points: int


def evaluate(subjects: Iterable[Subject], anchors: int = 0, unread: Iterable[Unread] = ()) -> list[Group]:
    """Groups in the order of their first row, those of which no row could be read last.

    With anchors, each is calibrated on its smallest and largest batch. Unread rows are listed with their reasons.
    """
    gathered: dict[str, list[Subject]] = {}
    for one in subjects:
        gathered.setdefault(one.measured.group_id, []).append(one)
    apart: dict[str, list[Unread]] = {}
    for row in unread:
        apart.setdefault(row.group_id, []).append(row)
    names = dict.fromkeys([*gathered, *apart])
    return [_group(name, gathered.get(name, ()), apart.get(name, ()), anchors) for name in names]


def predict(subject: Subject, correction: Correction | None = None) -> Yield | None:
    """The yield of one measured point; None without a deployment."""
    if subject.deployment is None or subject.traffic is None:
        return None
    deployment = dataclasses.replace(subject.deployment, correction=correction)
    way = static_batch if subject.measured.phase is Phase.STATIC else saturated
    return way(deployment, subject.measured.batch_sequences, subject.traffic)


def spread(errors_ratio: Iterable[float | None]) -> Spread:
    """Quantiles of the errors that are known, interpolated between neighbours."""
    known = sorted(one for one in errors_ratio if one is not None)
    if not known:
        return Spread(None, None, 0)
    return Spread(_quantile_ratio(known, 0.5), _quantile_ratio(known, 0.9), len(known))


def energy_spread(groups: Iterable[Group]) -> Spread:
    return spread(one.energy_error_ratio for group in groups for one in group.scored)


def speed_spread(groups: Iterable[Group]) -> Spread:
    return spread(one.speed_error_ratio for group in groups for one in group.scored)


def error_class(group: Group) -> ErrorClass | None:
    """The class of the predictions of a group; None when there is none."""
    return group.scored[0].predicted.error_class if group.scored else None


def _group(group_id: str, members: Sequence[Subject], unread: Sequence[Unread], anchors: int) -> Group:
    first = members[0].measured if members else unread[0]
    left_out = [(one.line, one.reason) for one in unread]
    left_out += [(one.measured.line, one.reason) for one in members if one.deployment is None]
    scored: list[Scored] = []
    anchor_lines: list[int] = []
    for same_stack in _by_stack([one for one in members if one.deployment is not None]):
        chosen = _anchors(same_stack, anchors)
        reason = _why_unscored(same_stack, anchors, len(chosen))
        if reason:
            left_out += [(one.measured.line, reason) for one in same_stack]
        else:
            anchor_lines += [one.measured.line for one in chosen]
            scored += _scored(same_stack, chosen)
    return Group(
        group_id=group_id,
        gpu=first.gpu,
        architecture=first.architecture,
        scored=tuple(scored),
        left_out=tuple(sorted(left_out)),
        anchor_lines=tuple(anchor_lines),
        reason="" if scored else "; ".join(dict.fromkeys(reason for _, reason in left_out)),
    )


def _by_stack(predictable: Iterable[Subject]) -> list[list[Subject]]:
    """A calibration is of one serving stack; a group that was measured on two has anchors on each."""
    stacks: dict[str, list[Subject]] = {}
    for one in predictable:
        stacks.setdefault(one.measured.stack, []).append(one)
    return list(stacks.values())


def _why_unscored(predictable: Sequence[Subject], anchors: int, chosen: int) -> str:
    if chosen < anchors:
        return f"{chosen} of its points have both energy and speed, {anchors} are needed to calibrate"
    if len(predictable) == chosen:
        return f"all of its {len(predictable)} points calibrate, none is left to score"
    return ""


def _scored(predictable: Sequence[Subject], chosen: Sequence[Subject]) -> list[Scored]:
    anchors = [
        Anchor(curve=one.measured.curve, measured=_point(one), modelled=made)
        for one in chosen
        if (made := predict(one)) is not None
    ]
    anchor_lines = {one.measured.line for one in chosen}
    others = [one for one in predictable if one.measured.line not in anchor_lines]
    made_of = [(one.measured, predict(one, _correction(one, anchors))) for one in others]
    return [Scored(measured, made) for measured, made in made_of if made is not None]


def _correction(subject: Subject, anchors: Sequence[Anchor]) -> Correction | None:
    if not anchors or subject.deployment is None:
        return None
    return correction_for(subject.measured.curve, anchors, _departures(subject.deployment))


def _departures(deployment: Deployment) -> Departures:
    if deployment.model.is_mixture:
        return MIXTURE
    return DENSE if deployment.gpu.name == DENSE_GPU else DENSE_ELSEWHERE


def _anchors(predictable: Sequence[Subject], anchors: int) -> list[Subject]:
    """The smallest and the largest batch, further ones evenly between; of equal batches the first row."""
    able = [one for one in predictable if one.measured.j_per_token and one.measured.tokens_per_s]
    able.sort(key=lambda one: one.measured.batch_sequences)
    if anchors == 0 or len(able) < anchors:
        return able if anchors else []
    if anchors == 1:
        return [able[len(able) // 2]]
    indices = {round(number * (len(able) - 1) / (anchors - 1)) for number in range(anchors)}
    return [able[index] for index in sorted(indices)]


def _point(subject: Subject) -> Point:
    measured = subject.measured
    if measured.j_per_token is None or measured.tokens_per_s is None:
        raise ValueError(f"line {measured.line} lacks energy or speed and cannot calibrate")
    return Point(
        batch_sequences=measured.batch_sequences,
        j_per_token=measured.j_per_token,
        tokens_per_s=measured.tokens_per_s,
    )


def _quantile_ratio(ascending_ratio: Sequence[float], share_ratio: float) -> float:
    place = share_ratio * (len(ascending_ratio) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ascending_ratio) - 1)
    return ascending_ratio[below] + (place - below) * (ascending_ratio[above] - ascending_ratio[below])
