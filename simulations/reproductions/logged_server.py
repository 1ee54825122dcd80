"""A server whose requests were logged: simulated once more, with a constant or two calibrated on half of its log.

Decides what is calibrated and on what: on every other request, the host's time between two iterations, so that their
mean latency is the measured one; and where GPUs exchange what they computed, how much longer or shorter that takes than
the link's nominal rate says, so that their mean time to the first token comes closest. Knows no file and no table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Floats
from simulations.reproductions.iterations import Engine, EngineLimits, LoggedRequest
from simulations.reproductions.kernel_times import Batch, KernelTimes
from simulations.reproductions.replicas import run_apart, run_together
from simulations.reproductions.tables import CellError

CALIBRATED = slice(0, None, 2)  # of the requests, in order of their arrival
HELD_OUT = slice(1, None, 2)

_MS = 1000.0
# Two guesses of the host's time, from which the root of the error is sought, and the most that a host may take.
_GUESSES_S = (0.0, 0.002)
_MOST_HOST_S = 0.05
_SECANT_STEPS = 4
_CLOSE_RATIO = 1e-4
_LINK_RATIOS = (0.25, 4.0)  # a link may be so much faster or slower than its nominal rate
_GOLDEN_STEPS = 10
_GOLDEN_RATIO = (5.0**0.5 - 1.0) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Latencies:
    """Of each request, shape (n,)."""

    ttft_ms: Floats
    tpot_ms: Floats
    e2e_ms: Floats

    def of(self, metric: str) -> Floats:
        known = {"ttft_ms": self.ttft_ms, "tpot_ms": self.tpot_ms, "e2e_ms": self.e2e_ms}
        if metric not in known:
            raise CellError(f"{metric!r} is not one of {', '.join(known)}", "metric")
        return known[metric]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerLog:
    """A server's settings, its requests in order of arrival, and what was measured.

    `exchange_s_per_token` is what its GPUs exchange for one token of a batch, at the link's nominal rate. Replicas that
    are `in_step` share their experts.
    """

    limits: EngineLimits
    times: KernelTimes
    requests: Sequence[LoggedRequest]
    request_ids: Sequence[str]
    real: Latencies
    replicas: int = 1
    in_step: bool = False
    exchange_s_per_token: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What no profile of kernels says. `link_ratio` is the time of an exchange over that at the link's nominal rate."""

    host_s: float
    link_ratio: float = 1.0


def simulate_log(log: ServerLog, constants: Constants) -> Latencies:
    """Every request of the log once more."""
    requests = [replace(request) for request in log.requests]
    host_s, token_s = constants.host_s, constants.link_ratio * log.exchange_s_per_token
    own_s, joint_s = log.times.iteration_s, log.times.joint_s

    def iteration_s(batch: Batch) -> float:
        return own_s(batch) + host_s + token_s * batch.tokens

    def step_s(batches: Sequence[Batch]) -> float:
        return joint_s(batches) + host_s + token_s * max(batch.tokens for batch in batches)

    engines = [Engine(limits=log.limits, iteration_s=iteration_s) for _ in range(log.replicas)]
    if log.in_step:
        run_together(engines, requests, step_s)
    else:
        run_apart(engines, requests)
    return _latencies(requests)


def _latencies(requests: Sequence[LoggedRequest]) -> Latencies:
    columns = [(one.queued_at_s, one.first_token_at_s, one.finished_at_s, one.output_tokens) for one in requests]
    queued, first, finished, tokens = np.array(columns, dtype=np.float64).T
    between = np.maximum(tokens - 1, 1)
    return Latencies(
        ttft_ms=_MS * (first - queued), tpot_ms=_MS * (finished - first) / between, e2e_ms=_MS * (finished - queued)
    )


def mean_error_ratio(log: ServerLog, ours: Latencies, metric: str, which: slice = slice(None)) -> float:
    """Of the mean of some requests, ours over measured, less one."""
    return float(ours.of(metric)[which].mean() / log.real.of(metric)[which].mean()) - 1.0


def calibrated(log: ServerLog) -> Constants:
    """Fitted on every other request."""
    if log.exchange_s_per_token == 0.0:
        return Constants(host_s=_host_s(log, 1.0))

    def off_ratio(link_ratio: float) -> float:
        ours = simulate_log(log, Constants(host_s=_host_s(log, link_ratio), link_ratio=link_ratio))
        return abs(mean_error_ratio(log, ours, "ttft_ms", CALIBRATED)) + abs(
            mean_error_ratio(log, ours, "e2e_ms", CALIBRATED)
        )

    link_ratio = _least(off_ratio, *_LINK_RATIOS)
    return Constants(host_s=_host_s(log, link_ratio), link_ratio=link_ratio)


def _host_s(log: ServerLog, link_ratio: float) -> float:
    """The host's time at which the mean latency is the measured one; never negative."""

    def error_ratio(host_s: float) -> float:
        ours = simulate_log(log, Constants(host_s=host_s, link_ratio=link_ratio))
        return mean_error_ratio(log, ours, "e2e_ms", CALIBRATED)

    (low_s, high_s), (low, high) = _GUESSES_S, tuple(map(error_ratio, _GUESSES_S))
    for _ in range(_SECANT_STEPS):
        if abs(high) < _CLOSE_RATIO or high == low:
            break
        next_s = min(max(0.0, high_s - high * (high_s - low_s) / (high - low)), _MOST_HOST_S)
        low_s, low, high_s, high = high_s, high, next_s, error_ratio(next_s)
    return high_s


def _least(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where a cost with one valley is least, by golden sections."""
    left, right = high - _GOLDEN_RATIO * (high - low), low + _GOLDEN_RATIO * (high - low)
    left_cost, right_cost = cost(left), cost(right)
    for _ in range(_GOLDEN_STEPS):
        if left_cost <= right_cost:
            high, right, right_cost = right, left, left_cost
            left = high - _GOLDEN_RATIO * (high - low)
            left_cost = cost(left)
        else:
            low, left, left_cost = left, right, right_cost
            right = low + _GOLDEN_RATIO * (high - low)
            right_cost = cost(right)
    return left if left_cost <= right_cost else right
