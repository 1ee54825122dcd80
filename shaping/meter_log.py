"""Points to calibrate to, out of the readings of a meter beside a worker that served whatever came.

Decides which stretches of a log say something (the batch steady, no gap, no counter that began anew), and whether the
energy counter or the integral of power is believed. Knows no meter and no file. Source: energy_model 2.4 and 4.1.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

from shaping.calibration import CalibrationError, Point
from shaping.measurements import MeasurementError, table_rows
from shaping.saturation import Traffic

COLUMNS = ("at_s", "running", "prompt_tokens", "output_tokens", "requests", "energy_j", "power_w")
# Counters are renewed about every 100 ms and tokens are counted when a request ends: shorter windows are noise.
WINDOW_S = 60.0
SHORTEST_WINDOW_S = 5.0
_MOST_DISAGREEMENT_RATIO = 0.1  # of counter and integrated power; more is known of some boards
_LONGEST_GAP_STEPS = 5.0  # in steps of the log: what happened in a longer one is not known
_STEADY_RATIO, _STEADY_REQUESTS = 0.25, 1.0  # how far from its mean a batch may be and count as one
_POINTS_PER_DOUBLING = 2


class EnergyFrom(StrEnum):
    """Which of a GPU's two readings the joules are from."""

    COUNTER = "energy counter"
    POWER = "integrated power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of the log, of all GPUs of one worker. Tokens and requests count what was answered since some start."""

    at_s: float
    running_requests: float
    output_tokens: float
    prompt_tokens: float | None = None
    requests: float | None = None
    energy_j: float | None = None  # counter since some start
    power_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What a log says. `traffic` is None where it does not count prompts and requests."""

    points: tuple[Point, ...]
    traffic: Traffic | None
    energy_from: EnergyFrom
    disagreement_ratio: float | None  # of the counter from integrated power; None where there is only one of them
    windows_used: int
    windows_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    duration_s: float
    energy_j: float
    output_tokens: float
    prompt_tokens: float | None
    requests: float | None
    mean_requests: float
    is_steady: bool


def read_meter_log(lines: Iterable[str], place: str) -> list[Sample]:
    """The samples of a CSV with the columns at_s, running, output_tokens and energy_j or power_w, in order of time.

    Raises MeasurementError.
    """
    samples: list[Sample] = []
    for row in table_rows(lines, place, ("at_s", "running", "output_tokens")):
        running, output_tokens = row.counter_if_any("running"), row.counter_if_any("output_tokens")
        if running is None or output_tokens is None:
            continue
        at_s = row.amount("at_s")
        if samples and at_s <= samples[-1].at_s:
            raise row.wrong("at_s", f"{at_s:g} is not after the line before; instants must rise")
        samples.append(
            Sample(
                at_s=at_s,
                running_requests=running,
                output_tokens=output_tokens,
                prompt_tokens=row.counter_if_any("prompt_tokens"),
                requests=row.counter_if_any("requests"),
                energy_j=row.counter_if_any("energy_j"),
                power_w=row.counter_if_any("power_w"),
            )
        )
    if len(samples) < 2:
        raise MeasurementError(place, 2, 1, "", "fewer than two samples; nothing can be read off a single instant")
    return samples


def points_from(samples: Sequence[Sample], window_s: float = WINDOW_S) -> MeterReading:
    """Points by batch, at most two for each doubling, each over all windows in which the batch was steady near it.

    Raises CalibrationError where no window says anything, ValueError for a window too short to.
    """
    if window_s < SHORTEST_WINDOW_S:
        raise ValueError(f"a window of {window_s:g} s is noise; the shortest is {SHORTEST_WINDOW_S:g} s")
    energy_from, disagreement_ratio = _believed(samples)
    metered = [one for one in samples if _reading(one, energy_from) is not None]
    windows = [window for stretch in _stretches(metered) for window in _windows(stretch, energy_from, window_s)]
    used = [one for one in windows if one.is_steady and one.output_tokens > 0 and one.energy_j > 0]
    if not used:
        raise CalibrationError(
            f"no {window_s:g} s of the log have a steady batch, tokens and energy: "
            "keep the worker evenly busy for some minutes, at a small and at a large batch"
        )
    return MeterReading(
        points=_points(used),
        traffic=_traffic(used),
        energy_from=energy_from,
        disagreement_ratio=disagreement_ratio,
        windows_used=len(used),
        windows_left_out=len(windows) - len(used),
    )


def _believed(samples: Sequence[Sample]) -> tuple[EnergyFrom, float | None]:
    """The counter, unless it is missing or far from what power integrates to. Raises CalibrationError."""
    counted = sum(one.energy_j is not None for one in samples)
    powered = sum(one.power_w is not None for one in samples)
    if max(counted, powered) < 2:
        raise CalibrationError("the log has neither an energy counter nor power: nothing was metered")
    if min(counted, powered) < 2:
        return (EnergyFrom.COUNTER if counted > powered else EnergyFrom.POWER), None
    both = [one for one in samples if one.energy_j is not None and one.power_w is not None]
    counter_j, power_j = (
        math.fsum(_energy_j(stretch, source) for stretch in _stretches(both))
        for source in (EnergyFrom.COUNTER, EnergyFrom.POWER)
    )
    if power_j <= 0:
        return EnergyFrom.COUNTER, None
    disagreement_ratio = counter_j / power_j - 1.0
    is_far = abs(disagreement_ratio) > _MOST_DISAGREEMENT_RATIO
    return (EnergyFrom.POWER if is_far else EnergyFrom.COUNTER), disagreement_ratio


def _reading(one: Sample, source: EnergyFrom) -> float | None:
    return one.energy_j if source is EnergyFrom.COUNTER else one.power_w


def _stretches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Runs of samples without a gap in which every counter only rises; a restart of daemon or driver ends one."""
    if len(samples) < 2:
        return []
    longest_s = _LONGEST_GAP_STEPS * median(after.at_s - before.at_s for before, after in pairwise(samples))
    stretches = [[samples[0]]]
    for before, after in pairwise(samples):
        if after.at_s - before.at_s > longest_s or _began_anew(before, after):
            stretches.append([])
        stretches[-1].append(after)
    return stretches


def _began_anew(before: Sample, after: Sample) -> bool:
    return after.output_tokens < before.output_tokens or (
        before.energy_j is not None and after.energy_j is not None and after.energy_j < before.energy_j
    )


def _windows(stretch: Sequence[Sample], source: EnergyFrom, window_s: float) -> Iterator[_Window]:
    start = 0
    for end in range(1, len(stretch)):
        if stretch[end].at_s - stretch[start].at_s >= window_s:
            yield _window(stretch[start : end + 1], source)
            start = end


def _window(samples: Sequence[Sample], source: EnergyFrom) -> _Window:
    first, last = samples[0], samples[-1]
    duration_s = last.at_s - first.at_s
    mean_requests = _integral([(one.at_s, one.running_requests) for one in samples]) / duration_s
    most_off = max(_STEADY_REQUESTS, _STEADY_RATIO * mean_requests)
    return _Window(
        duration_s=duration_s,
        energy_j=_energy_j(samples, source),
        output_tokens=last.output_tokens - first.output_tokens,
        prompt_tokens=_risen(first.prompt_tokens, last.prompt_tokens),
        requests=_risen(first.requests, last.requests),
        mean_requests=mean_requests,
        is_steady=all(one.running_requests >= 1 for one in samples)
        and all(abs(one.running_requests - mean_requests) <= most_off for one in samples),
    )


def _energy_j(samples: Sequence[Sample], source: EnergyFrom) -> float:
    if source is EnergyFrom.POWER:
        return _integral([(one.at_s, one.power_w or 0.0) for one in samples])
    return (samples[-1].energy_j or 0.0) - (samples[0].energy_j or 0.0)


def _integral(values: Sequence[tuple[float, float]]) -> float:
    """By trapezoids over time."""
    return math.fsum((at - before) * (one + other) / 2 for (before, one), (at, other) in pairwise(values))


def _risen(first_tokens: float | None, last_tokens: float | None) -> float | None:
    return None if first_tokens is None or last_tokens is None else last_tokens - first_tokens


def _points(windows: Iterable[_Window]) -> tuple[Point, ...]:
    alike: dict[int, list[_Window]] = defaultdict(list)
    for one in windows:
        alike[round(_POINTS_PER_DOUBLING * math.log2(one.mean_requests))].append(one)
    return tuple(_point(alike[size]) for size in sorted(alike))


def _point(windows: Sequence[_Window]) -> Point:
    duration_s = math.fsum(one.duration_s for one in windows)
    output_tokens = math.fsum(one.output_tokens for one in windows)
    return Point(
        batch_sequences=math.fsum(one.mean_requests * one.duration_s for one in windows) / duration_s,
        j_per_token=math.fsum(one.energy_j for one in windows) / output_tokens,
        tokens_per_s=output_tokens / duration_s,
    )


def _traffic(windows: Sequence[_Window]) -> Traffic | None:
    """Mean lengths of what was answered; None where the log does not say."""
    counted = [one for one in windows if one.prompt_tokens is not None and one.requests is not None]
    requests = sum(one.requests or 0.0 for one in counted)
    if requests <= 0:
        return None
    prompt_tokens = sum(one.prompt_tokens or 0.0 for one in counted)
    return Traffic(
        prompt_tokens=max(0.0, prompt_tokens) / requests,
        output_tokens=sum(one.output_tokens for one in counted) / requests,
    )
