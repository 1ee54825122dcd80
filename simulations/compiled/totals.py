"""Sums over a trace too long to keep: counts, tokens, energy by hour, and latencies in a histogram.

Folds the loop's outputs and empties them. The buckets of the histogram grow by a fixed ratio, so a quantile is known
within that ratio. Decides nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulations.compiled.layout import State

BUCKETS_PER_DECADE = 200
BUCKET_RATIO = 10.0 ** (1.0 / BUCKETS_PER_DECADE)  # 1.2% from one to the next
_FIRST_S = 1e-4
_DECADES = 10

WAIT, FIRST_TOKEN, LATENCY = range(3)
REQUESTS, PROMPT_TOKENS, OUTPUT_TOKENS, SPANS, PREEMPTIONS = range(5)


class Sums(NamedTuple):
    """Energy of bin i in `busy_j[i]` and `idle_j[i]`, both of shape (bins,); the bins are equally long."""

    bin_edges_s: NDArray[np.float64]
    busy_j: NDArray[np.float64]
    idle_j: NDArray[np.float64]
    counts: NDArray[np.int64]
    total_s: NDArray[np.float64]  # (3,) of waits, first tokens, latencies
    longest_s: NDArray[np.float64]
    histogram: NDArray[np.int64]  # (3, buckets)
    traced_to_s: NDArray[np.float64]  # (workers,)


def new_sums(bin_edges_s: NDArray[np.float64], workers: int, start_at_s: float) -> Sums:
    bins = len(bin_edges_s) - 1
    return Sums(
        bin_edges_s,
        np.zeros(bins),
        np.zeros(bins),
        np.zeros(5, dtype=np.int64),
        np.zeros(3),
        np.zeros(3),
        np.zeros((3, BUCKETS_PER_DECADE * _DECADES), dtype=np.int64),
        np.full(workers, start_at_s),
    )


def quantile_s(sums: Sums, what: int, ratio: float) -> float:
    """The upper edge of the bucket that holds the quantile; NaN without requests."""
    counts = np.cumsum(sums.histogram[what])
    if counts[-1] == 0:
        return math.nan
    bucket = int(np.searchsorted(counts, ratio * counts[-1]))
    return float(min(_FIRST_S * BUCKET_RATIO**bucket, sums.longest_s[what]))


def fold(state: State, sums: Sums, bin_s: float) -> None:
    """Take over what the loop has put out, and empty its outputs."""
    pool = state.pool[0]
    for number in range(pool.spans):
        fold_span(state, sums, number, bin_s)
    for number in range(pool.done):
        fold_done(state, sums, number)
    sums.counts[SPANS] += pool.spans
    sums.counts[PREEMPTIONS] += pool.stays
    pool.spans, pool.done, pool.stays = 0, 0, 0


def fold_span(state: State, sums: Sums, number: int, bin_s: float) -> None:
    """Power is even over a span, so each bin has its part of the time."""
    span = state.spans[number]
    at_s, end_at_s = sums.traced_to_s[span.worker], span.end_at_s
    sums.traced_to_s[span.worker] = end_at_s
    edges_at_s, last = sums.bin_edges_s, len(sums.busy_j) - 1
    place = min(last, int((at_s - edges_at_s[0]) / bin_s))
    left_j = span.energy_j
    while place < last and edges_at_s[place + 1] < end_at_s:
        part_j = left_j * (edges_at_s[place + 1] - at_s) / (end_at_s - at_s)
        add(sums, place, part_j, span.sequences)
        left_j -= part_j
        at_s = edges_at_s[place + 1]
        place += 1
    add(sums, place, left_j, span.sequences)


def add(sums: Sums, place: int, energy_j: float, sequences: int) -> None:
    if sequences > 0:
        sums.busy_j[place] += energy_j
    else:
        sums.idle_j[place] += energy_j


def fold_done(state: State, sums: Sums, number: int) -> None:
    done = state.done[number]
    sums.counts[REQUESTS] += 1
    sums.counts[PROMPT_TOKENS] += done.prompt_tokens
    sums.counts[OUTPUT_TOKENS] += done.output_tokens
    tally(sums, WAIT, done.released_at_s - done.arrived_at_s)
    tally(sums, FIRST_TOKEN, done.first_token_at_s - done.arrived_at_s)
    tally(sums, LATENCY, done.finished_at_s - done.arrived_at_s)


def tally(sums: Sums, what: int, took_s: float) -> None:
    sums.total_s[what] += took_s
    sums.longest_s[what] = max(sums.longest_s[what], took_s)
    bucket = 0
    if took_s > _FIRST_S:
        bucket = math.ceil(math.log10(took_s / _FIRST_S) * BUCKETS_PER_DECADE)
    sums.histogram[what, min(bucket, sums.histogram.shape[1] - 1)] += 1
