"""The work of a scenario as columns of numbers, and how to draw it where there is no trace.

Knows no policy and no calendar: arrivals count from the start of the trace. Randomness comes as a generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shaping.prefixes import Prefix

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Spread of prompt and output lengths around their median where a trace is drawn: log-normal, as in production
# (Azure 2023: p99 over median is 4 for prompts and 4.7 for outputs, sigma = ln(4.7) / 2.33).
TOKENS_SIGMA = 0.65

# Durations of generated jobs: heavy-tailed as on Philly, whose 90th percentile is 7 times the median.
DURATION_SIGMA = 1.5

# 10 * 0.3 and the like: so close below a whole number is that number.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestTrace:
    """Requests in order of arrival, all of shape (n,); `arrival_s` counts from the start of the trace.

    `prefixes` names the blocks of each prompt; empty where nobody knows what prompts share.
    """

    arrival_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers
    left_out: int = 0
    prefixes: tuple[Prefix, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobTrace:
    """Jobs in order of submission, all of shape (n,); `submit_s` counts from the start of the trace.

    Where the trace records what slack a job had and what it drew, these are not None.
    """

    submit_s: Floats
    duration_s: Floats
    gpus: Integers
    slack_s: Floats | None = None
    power_per_gpu_w: Floats | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.submit_s)


def grown(trace: JobTrace, ratio: float) -> JobTrace:
    """The trace with `ratio` times as many jobs: each as often as the others, as far as whole numbers allow.

    Copies come at the instant of their original: more of the same demand at the same hours.
    """
    reached = np.floor(np.arange(len(trace) + 1) * ratio + _ROUNDING)
    counts = np.diff(reached).astype(np.int64)
    return JobTrace(
        submit_s=np.repeat(trace.submit_s, counts),
        duration_s=np.repeat(trace.duration_s, counts),
        gpus=np.repeat(trace.gpus, counts),
        slack_s=None if trace.slack_s is None else np.repeat(trace.slack_s, counts),
        power_per_gpu_w=None if trace.power_per_gpu_w is None else np.repeat(trace.power_per_gpu_w, counts),
        left_out=trace.left_out,
    )


# -- drawing ---------------------------------------------------------------------------------------------------------


def poisson_requests(
    generator: np.random.Generator, *, rate_per_s: float, span_s: float, prompt_tokens: int, output_tokens: int
) -> RequestTrace:
    """Independent arrivals over `span_s` with a daily swing (peak at 15:00 is 1.6 times the mean, trough 0.4).

    `prompt_tokens` and `output_tokens` are medians of log-normal lengths.
    """
    count = generator.poisson(rate_per_s * span_s)
    arrivals = np.sort(_thinned_by_day(generator, count, span_s))
    return RequestTrace(
        arrival_s=arrivals,
        prompt_tokens=_lengths(generator, prompt_tokens, count),
        output_tokens=_lengths(generator, output_tokens, count),
    )


def drawn_jobs(
    generator: np.random.Generator, *, count: int, span_s: float, median_duration_s: float, max_gpus: int
) -> JobTrace:
    """`count` jobs spread over `span_s` by the same daily swing; durations log-normal, GPUs a power of two."""
    powers = np.arange(int(np.log2(max_gpus)) + 1)
    weights = 0.5 ** (powers + 1.0)
    longest_s = 20.0 * median_duration_s
    durations = np.asarray(median_duration_s * np.exp(DURATION_SIGMA * generator.standard_normal(count)), np.float64)
    return JobTrace(
        submit_s=np.sort(_thinned_by_day(generator, count, span_s)),
        duration_s=np.asarray(np.round(np.clip(durations, 60.0, longest_s)), np.float64),
        gpus=2 ** generator.choice(powers, size=count, p=weights / weights.sum()),
    )


def _thinned_by_day(generator: np.random.Generator, count: int, span_s: float) -> Floats:
    """Instants in [0, span_s) whose density is 1 + 0.6 * cos of the time since 15:00; by rejection, so exact."""
    kept = np.empty(0)
    while len(kept) < count:
        instants = generator.uniform(0.0, span_s, size=2 * (count - len(kept)) + 16)
        density = 1.0 + 0.6 * np.cos(2.0 * np.pi * (instants / 86400.0 - 15.0 / 24.0))
        kept = np.concatenate((kept, instants[generator.uniform(0.0, 1.6, size=len(instants)) < density]))
    return kept[:count]


def _lengths(generator: np.random.Generator, median_tokens: int, count: int) -> Integers:
    drawn = median_tokens * np.exp(TOKENS_SIGMA * generator.standard_normal(count))
    return np.maximum(1, np.round(drawn)).astype(np.int64)
