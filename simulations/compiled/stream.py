"""One pool over a trace that is too long to keep: chunk after chunk in, sums out.

All requests are interactive, with the policy's hold as their budget. Memory follows the requests that are there at once
and the length of a chunk. Reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import IntensitySeries
from shaping.policy import ShapingPolicy
from simulations.compiled.layout import Arrivals, KnownGrid, State, with_room
from simulations.compiled.loop import FULL
from simulations.compiled.pool import Run, known_grid, pool_state
from simulations.compiled.totals import (
    FIRST_TOKEN,
    LATENCY,
    OUTPUT_TOKENS,
    PREEMPTIONS,
    PROMPT_TOKENS,
    REQUESTS,
    SPANS,
    WAIT,
    Sums,
    new_sums,
    quantile_s,
)
from simulations.serving import PoolSpec
from simulations.workloads import RequestTrace

Fold = Callable[[State, Sums, float], None]

BIN_S = 3600.0
_TAIL_S = 3600.0  # how far to look beyond the last arrival at a time until all have left


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of all finished requests; quantiles within 1.2%."""

    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamTotals:
    """What came of a trace. Energy by hour from `start_at_s`, each of shape (hours,); idle workers apart."""

    arrived: int
    finished: int
    dropped: int
    prompt_tokens: int
    output_tokens: int
    spans: int
    preemptions: int
    start_at_s: float
    ended_at_s: float
    busy_j: NDArray[np.float64]
    idle_j: NDArray[np.float64]
    wait: Times
    first_token: Times
    latency: Times

    @property
    def energy_j(self) -> float:
        return float(self.busy_j.sum() + self.idle_j.sum())


def stream(
    chunks: Iterable[RequestTrace],
    spec: PoolSpec,
    policy: ShapingPolicy,
    *,
    start_at_s: float,
    grid: IntensitySeries | None,
    run: Run,
    fold: Fold,
) -> StreamTotals:
    """Serve all chunks, which are in order of arrival; `run` and `fold` are the loop's, compiled or not."""
    served = _Stream(spec, policy, start_at_s, known_grid(grid), run, fold)
    for chunk in chunks:
        served.take(chunk)
    return served.finished()


class _Stream:
    def __init__(
        self, spec: PoolSpec, policy: ShapingPolicy, start_at_s: float, grid: KnownGrid, run: Run, fold: Fold
    ) -> None:
        self._policy, self._start_at_s, self._grid, self._run, self._fold = policy, start_at_s, grid, run, fold
        self._state = pool_state(spec, policy, start_at_s)
        self._sums = new_sums(start_at_s + BIN_S * np.arange(2.0), spec.workers, start_at_s)
        self._arrivals: Arrivals | None = None

    def take(self, chunk: RequestTrace) -> None:
        """Everything before the chunk's last arrival: at that instant the next chunk may begin."""
        if not len(chunk):
            return
        self._arrivals = self._coming(chunk)
        self._run_until(self._arrivals, float(self._arrivals.at_s[-1]))

    def finished(self) -> StreamTotals:
        """After the last chunk: until every request has left."""
        pool, arrivals = self._state.pool[0], self._arrivals
        arrived = arrivals.first_index + len(arrivals.at_s) if arrivals is not None else 0
        until_s = float(arrivals.at_s[-1]) if arrivals is not None else self._start_at_s
        while arrivals is not None and pool.ended < arrived:
            until_s += _TAIL_S
            self._run_until(arrivals, until_s)
        self._idle_until(float(pool.ended_at_s))
        return _totals(self._sums, arrived, self._start_at_s, float(pool.ended_at_s))

    def _coming(self, chunk: RequestTrace) -> Arrivals:
        """What has not arrived yet of the chunk before, then the new one."""
        at_s, first = self._start_at_s + chunk.arrival_s, 0
        prompts, outputs = chunk.prompt_tokens, chunk.output_tokens
        if self._arrivals is not None:
            before, first = self._arrivals, int(self._state.pool[0].next_arrival)
            left = slice(first - before.first_index, None)
            at_s = np.concatenate((before.at_s[left], at_s))
            prompts = np.concatenate((before.prompt_tokens[left], prompts))
            outputs = np.concatenate((before.output_tokens[left], outputs))
        return Arrivals(
            first_index=first,
            at_s=at_s,
            prompt_tokens=prompts,
            output_tokens=outputs,
            is_flex=np.zeros(len(at_s), dtype=np.bool_),
            release_by_s=at_s + self._policy.interactive_hold_s,
            not_before_s=np.zeros(len(at_s)),
        )

    def _run_until(self, arrivals: Arrivals, until_s: float) -> None:
        self._make_bins(until_s)
        self._state = with_room(self._state, len(arrivals.at_s))
        while self._run(self._state, arrivals, self._grid, until_s) == FULL:
            self._fold(self._state, self._sums, BIN_S)
        self._fold(self._state, self._sums, BIN_S)

    def _make_bins(self, until_s: float) -> None:
        bins = int((until_s - self._start_at_s) // BIN_S) + 2
        more = bins - len(self._sums.busy_j)
        if more > 0:
            self._sums = self._sums._replace(
                bin_edges_s=self._start_at_s + BIN_S * np.arange(bins + 1.0),
                busy_j=np.append(self._sums.busy_j, np.zeros(more)),
                idle_j=np.append(self._sums.idle_j, np.zeros(more)),
            )

    def _idle_until(self, end_at_s: float) -> None:
        """Workers stay warm until the last request has left."""
        power_w, edges_at_s = self._state.settings.idle_power_w, self._sums.bin_edges_s
        for place, traced_to_s in enumerate(self._sums.traced_to_s):
            inside = np.clip(edges_at_s, traced_to_s, max(traced_to_s, end_at_s))
            self._sums.idle_j[:] += power_w * np.diff(inside)
            self._sums.idle_j[0] += self._state.workers[place].carried_j


def _totals(sums: Sums, arrived: int, start_at_s: float, ended_at_s: float) -> StreamTotals:
    return StreamTotals(
        arrived=arrived,
        finished=int(sums.counts[REQUESTS]),
        dropped=arrived - int(sums.counts[REQUESTS]),
        prompt_tokens=int(sums.counts[PROMPT_TOKENS]),
        output_tokens=int(sums.counts[OUTPUT_TOKENS]),
        spans=int(sums.counts[SPANS]),
        preemptions=int(sums.counts[PREEMPTIONS]),
        start_at_s=start_at_s,
        ended_at_s=ended_at_s,
        busy_j=sums.busy_j,
        idle_j=sums.idle_j,
        wait=_times(sums, WAIT),
        first_token=_times(sums, FIRST_TOKEN),
        latency=_times(sums, LATENCY),
    )


def _times(sums: Sums, what: int) -> Times:
    count = max(1, int(sums.counts[REQUESTS]))
    return Times(
        mean_s=float(sums.total_s[what]) / count,
        p50_s=quantile_s(sums, what, 0.5),
        p99_s=quantile_s(sums, what, 0.99),
        max_s=float(sums.longest_s[what]),
    )
